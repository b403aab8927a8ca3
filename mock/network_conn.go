package mock

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// A conn is one end of a connection.
type conn struct {
	network       *Network
	local, remote net.Addr
	dialed        bool // this end dialed
	rx, tx        *pipe
	abrupt        atomic.Bool // Close resets
}

// address is a host and a port, in the form of net.JoinHostPort.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.rx.read(b)
	if err != nil && err != io.EOF {
		err = c.failed("read", err)
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.tx.write(b)
	return n, c.failed("write", err)
}

// Close closes this end. The peer can still read what was written.
func (c *conn) Close() error {
	if !c.network.forget(c) {
		return c.failed("close", net.ErrClosed)
	}
	c.rx.closeReader() // first: a Read of this end must not return the peer's reaction to the close
	c.tx.closeWriter(c.abrupt.Load())
	return nil
}

// CloseWrite closes the writing side. This end can still read.
func (c *conn) CloseWrite() error { return c.failed("close", c.tx.shutWriter()) }

// SetLinger with zero makes Close reset the connection, as [net.TCPConn.SetLinger] does. Other
// values have no effect: Close never waits.
func (c *conn) SetLinger(sec int) error {
	c.abrupt.Store(sec == 0)
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return c.failed("set", c.rx.setDeadline(&c.rx.readBy, &c.rx.readClosed, t))
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.failed("set", c.tx.setDeadline(&c.tx.writeBy, &c.tx.writeClosed, t))
}

// failed wraps err as package net does. It returns nil for nil.
func (c *conn) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// unclosed returns the error about an end that was not closed.
func (c *conn) unclosed() error {
	from, to, end := c.remote, c.local, "accepting"
	if c.dialed {
		from, to, end = c.local, c.remote, "dialing"
	}
	return fmt.Errorf("mock: connection %s -> %s: the %s end was not closed", from, to, end)
}

// drop resets and closes an end that was never accepted.
func (c *conn) drop() {
	c.abrupt.Store(true)
	c.Close()
}

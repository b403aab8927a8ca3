package transport

import (
	"context"
	"net"
)

// The buffers of net/http for a built-in connection, in bytes. An idle connection keeps them, so
// they are small.
const (
	readBuffer  = 4 << 10 // net/http's default; it also limits chunk extensions and trailers
	writeBuffer = 1 << 10
)

// A burstConn reads much at a time while its peer sends much, although net/http's buffer is small.
// A read that fills what it was given is followed by a read into a large buffer, which the
// connection has only until its bytes are read. So it waits with such a buffer only if the last
// read was filled to the last byte.
type burstConn struct {
	net.Conn
	burst  bool    // the last read from Conn was full: there is probably more
	large  *[]byte // nil unless there are unread bytes
	unread []byte  // in large
}

func (c *burstConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 && (!c.burst || len(p) >= directRead) {
		return c.read(p)
	}
	if len(c.unread) == 0 {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.unread)
	if c.unread = c.unread[n:]; len(c.unread) == 0 {
		c.release()
	}
	return n, nil
}

// read reads from the network. It returns no error with bytes: the next call does.
func (c *burstConn) read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.burst = n == len(p); n > 0 {
		err = nil
	}
	return n, err
}

// fill reads bytes into a large buffer.
func (c *burstConn) fill() error {
	c.large = unusedBuffers.get(largeBuffer)
	n, err := c.read(*c.large)
	if c.unread = (*c.large)[:n]; n == 0 {
		c.release()
	}
	return err
}

func (c *burstConn) release() {
	unusedBuffers.put(c.large)
	c.large, c.unread = nil, nil
}

// inBursts makes the connections of dial burstConns.
func inBursts(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &burstConn{Conn: conn}, nil
	}
}

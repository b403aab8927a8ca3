package mock

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/http"
	"sync"

	"github.com/steadfeed/steadfeed/decode"
)

// A socketConn is the connection under a WebSocket. The library may answer pings and closes at any
// time, also while bytes are written past it.
type socketConn struct {
	net.Conn
	turn chan struct{} // holds one element during a write

	mu    sync.Mutex // not held during a write
	held  []byte     // what the library has written during a write
	muted bool
}

// Write never waits for a raw write: the library would drop the connection.
func (c *socketConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	select {
	case c.turn <- struct{}{}:
	default:
		c.held = append(c.held, b...)
		c.mu.Unlock()
		return len(b), nil
	}
	muted := c.muted
	c.mu.Unlock()
	defer c.flush()
	if muted {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// writeRaw lets f write past the library.
func (c *socketConn) writeRaw(f func(write func([]byte) error) error) error {
	c.turn <- struct{}{}
	defer c.flush()
	return f(func(b []byte) error {
		_, err := c.Conn.Write(b)
		return err
	})
}

// flush writes what the library has written meanwhile, and ends the turn.
func (c *socketConn) flush() {
	for {
		c.mu.Lock()
		held := c.held
		c.held = nil
		if len(held) == 0 || c.muted {
			<-c.turn
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		c.Conn.Write(held) // if this fails, so do later writes
	}
}

// Read returns nothing from a muted connection, except its end.
func (c *socketConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		c.mu.Lock()
		muted := c.muted
		c.mu.Unlock()
		switch {
		case !muted:
			return n, err
		case err != nil:
			return 0, err
		}
	}
}

// mute makes the connection drop what it reads and what the library writes from now on.
func (c *socketConn) mute() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.muted = true
}

// A takeover wraps the connection that is hijacked in a socketConn.
type takeover struct {
	http.ResponseWriter
	socket *socketConn // nil before Hijack
}

func (t *takeover) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("mock: %w", err)
	}
	t.socket = &socketConn{Conn: conn, turn: make(chan struct{}, 1)}
	return t.socket, bufio.NewReadWriter(rw.Reader, bufio.NewWriter(t.socket)), nil
}

// First bytes of frames that are not fragmented (RFC 6455, section 5.2).
const (
	opText = 0x81
	opPing = 0x89
)

// appendFrame appends the wire form of a step on a WebSocket.
func appendFrame(b []byte, s Step) ([]byte, error) {
	switch {
	case s.act == garbles:
		return append(b, s.raw...), nil
	case s.frame.Kind == decode.KindComment:
		return appendPayload(append(b, opText), s.frame.Data), nil
	}
	text, err := jsonOf(s.onWire())
	switch {
	case err != nil:
		return nil, err
	case len(text) == 0:
		return appendPayload(append(b, opPing), nil), nil
	}
	return appendPayload(append(b, opText), text), nil
}

// appendPayload appends the length of a payload, in one, three or nine bytes, and the payload.
func appendPayload(b, payload []byte) []byte {
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"
)

// A scriptConn returns at most the next size of bytes at a read, and then err, with the last bytes
// if joined.
type scriptConn struct {
	net.Conn
	data   []byte
	sizes  []int // in turn
	err    error
	joined bool
	reads  int
	before func() // called before each read
}

func (c *scriptConn) Read(p []byte) (int, error) {
	if c.before != nil {
		c.before()
	}
	size := c.sizes[c.reads%len(c.sizes)]
	c.reads++
	n := copy(p[:min(len(p), size)], c.data)
	c.data = c.data[n:]
	if len(c.data) == 0 && (n == 0 || c.joined) {
		return n, c.err
	}
	return n, nil
}

func pattern(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return data
}

// readBySizes reads with buffers of the sizes in turn.
func readBySizes(c net.Conn, sizes []int) (got []byte, err error) {
	buffer := make([]byte, slices.Max(sizes))
	for i := 0; err == nil; i++ {
		var n int
		p := buffer[:sizes[i%len(sizes)]]
		n, err = c.Read(p)
		got = append(got, p[:n]...)
	}
	return got, err
}

// The bytes and the error arrive unchanged, however they are sent and read.
func TestBurstConnInEverySplit(t *testing.T) {
	broken := errors.New("broken")
	splits := [][]int{{7, 1, 5000}, {512}, {readBuffer}, {readBuffer, readBuffer - 1, readBuffer + 1}, {8192, 100}, {largeBuffer}, {largeBuffer - 1, 3}, {largeBuffer, 1, directRead}, {1 << 20}}
	for _, size := range []int{0, 1, readBuffer, readBuffer + 1, readBuffer + largeBuffer, 300_000} {
		for _, sent := range splits {
			for _, read := range splits {
				for _, joined := range []bool{false, true} {
					want := pattern(size)
					c := &burstConn{Conn: &scriptConn{data: want, sizes: sent, err: broken, joined: joined && size > 0}}
					got, err := readBySizes(c, read)
					if !bytes.Equal(got, want) || err != broken || c.large != nil {
						t.Fatalf("%d bytes sent in %d and read in %d: got %d bytes, error %v, a buffer left: %t, want the same bytes, %v, false", size, sent, read, len(got), err, c.large != nil, broken)
					}
				}
			}
		}
	}
}

// A burst costs few reads although each one asks for little.
func TestBurstConnReadsMuchAtATime(t *testing.T) {
	raw := &scriptConn{data: pattern(1 << 20), sizes: []int{1 << 20}, err: io.EOF}
	if _, err := readBySizes(&burstConn{Conn: raw}, []int{readBuffer}); err != io.EOF {
		t.Fatalf("got error %v, want io.EOF", err)
	}
	if limit := 1<<20/largeBuffer + 3; raw.reads > limit {
		t.Errorf("got %d reads of a MiB, want at most %d", raw.reads, limit)
	}
}

// A connection that waits holds no buffer, unless the last read was filled to the last byte.
func TestBurstConnWaitsWithoutABuffer(t *testing.T) {
	for _, burst := range []int{1, readBuffer + 1, 10 * readBuffer, largeBuffer, readBuffer + largeBuffer + 1, 300_000} {
		raw := &scriptConn{data: pattern(burst), sizes: []int{1 << 20}, err: io.EOF}
		c := &burstConn{Conn: raw}
		raw.before = func() {
			if len(raw.data) == 0 && c.large != nil {
				t.Errorf("after %d bytes: it waits with a buffer, want none", burst)
			}
		}
		readBySizes(c, []int{readBuffer})
	}
}

// Deadlines and Close act on a Read that waits. A timeout loses no bytes.
func TestBurstConnDeadlineAndClose(t *testing.T) {
	raw, peer := net.Pipe()
	defer peer.Close()
	c := &burstConn{Conn: raw}
	p := make([]byte, 4)
	go peer.Write([]byte("01234567"))
	if n, err := c.Read(p); string(p[:n]) != "0123" || err != nil || !c.burst {
		t.Fatalf("got %q, error %v, burst %t, want 0123, none, true", p[:n], err, c.burst)
	}
	if n, err := c.Read(p[:1]); string(p[:n]) != "4" || err != nil {
		t.Fatalf("got %q, error %v, want 4", p[:n], err)
	}
	c.SetReadDeadline(time.Unix(1, 0))
	if n, err := c.Read(p); string(p[:n]) != "567" || err != nil {
		t.Fatalf("got %q, error %v, want 567", p[:n], err)
	}
	if n, err := c.Read(p); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %d bytes, error %v, want %v", n, err, os.ErrDeadlineExceeded)
	}
	c.SetReadDeadline(time.Time{})
	go peer.Write([]byte("89"))
	if n, err := c.Read(p); string(p[:n]) != "89" || err != nil {
		t.Fatalf("got %q, error %v, want 89", p[:n], err)
	}
	go c.Close()
	if n, err := c.Read(p); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %d bytes, error %v, want %v", n, err, io.ErrClosedPipe)
	}
}

// The connections of HTTP are burstConns. Those of a WebSocket are not, because frames read in
// bursts, too.
func TestWhichConnectionsReadInBursts(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	life, end := context.WithCancel(t.Context())
	defer end()
	for name, tt := range map[string]struct {
		dial dialFunc
		want bool
	}{
		"HTTP":      {(&HTTP{}).roundTripper(life).(*http.Transport).DialContext, true},
		"WebSocket": {dialTunnelled(life).DialContext, false},
	} {
		conn, err := tt.dial(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, got := conn.(*burstConn); got != tt.want {
			t.Errorf("%s: got %T, want a burstConn: %t", name, conn, tt.want)
		}
	}
}

package mock_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
)

const capacity = 64 << 10

// inBubble runs f in a bubble with a connection, and checks that both ends are closed.
func inBubble(t *testing.T, f func(t *testing.T, n *mock.Network, dialed, accepted net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := new(mock.Network)
		l, err := n.Listen("host.test:80")
		if err != nil {
			t.Fatal(err)
		}
		dialed, accepted := connect(t, n, l)
		f(t, n, dialed, accepted)
		dialed.Close()
		accepted.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
}

// wantOp checks that err is what package net would return.
func wantOp(t *testing.T, what string, err error, op string, want error) {
	t.Helper()
	var oe *net.OpError
	if !errors.As(err, &oe) || oe.Op != op || !errors.Is(err, want) {
		t.Errorf("%s: got %v, want a *net.OpError of %s with %v", what, err, op, want)
	}
}

func send(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if n, err := io.WriteString(c, s); n != len(s) || err != nil {
		t.Errorf("Write: got %d, %v, want %d", n, err, len(s))
	}
}

func receive(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, 100)
	if n, err := c.Read(b); string(b[:n]) != want || err != nil {
		t.Errorf("Read: %q, %v; want %q", b[:n], err, want)
	}
}

var one = make([]byte, 1)

func TestConnPeerCloses(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, b net.Conn) {
		send(t, a, "last words")
		a.Close()
		receive(t, b, "last words")
		for range 2 {
			if n, err := b.Read(one); n != 0 || err != io.EOF {
				t.Errorf("Read: %d, %v; want io.EOF", n, err)
			}
		}
		_, err := b.Write(one)
		wantOp(t, "Write", err, "write", syscall.ECONNRESET)
	})
}

func TestConnAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, b net.Conn) {
		send(t, b, "unread")
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		_, err := a.Read(one)
		wantOp(t, "Read", err, "read", net.ErrClosed)
		_, err = a.Write(one)
		wantOp(t, "Write", err, "write", net.ErrClosed)
		wantOp(t, "Close", a.Close(), "close", net.ErrClosed)
		wantOp(t, "CloseWrite", a.(interface{ CloseWrite() error }).CloseWrite(), "close", net.ErrClosed)
		wantOp(t, "SetDeadline", a.SetDeadline(time.Now()), "set", net.ErrClosed)
	})
}

func TestConnCloseWakesReadAndWrite(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, b net.Conn) {
		send(t, a, strings.Repeat("x", capacity))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := a.Read(one)
			wantOp(t, "Read", err, "read", net.ErrClosed)
		})
		wg.Go(func() {
			_, err := a.Write(one)
			wantOp(t, "Write", err, "write", net.ErrClosed)
		})
		synctest.Wait()
		a.Close()
		wg.Wait()
	})
}

// Close ends the Reads of its own end before the peer can react.
func TestConnCloseEndsReadsFirst(t *testing.T) {
	for range 1000 {
		inBubble(t, func(t *testing.T, _ *mock.Network, dialed, accepted net.Conn) {
			var peer sync.WaitGroup
			peer.Go(func() {
				io.Copy(io.Discard, accepted)
				accepted.Write([]byte("goodbye"))
			})
			var reader sync.WaitGroup
			reader.Go(func() {
				if n, err := dialed.Read(make([]byte, 8)); n > 0 || !errors.Is(err, net.ErrClosed) {
					t.Errorf("Read of a closed connection: got %d bytes, %v, want net.ErrClosed", n, err)
				}
			})
			synctest.Wait()
			dialed.Close()
			reader.Wait()
			peer.Wait()
		})
	}
}

func TestConnCloseWrite(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, b net.Conn) {
		send(t, a, "request")
		if err := a.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
		all, err := io.ReadAll(b)
		if string(all) != "request" || err != nil {
			t.Errorf("ReadAll: got %q, %v, want request", all, err)
		}
		_, err = a.Write(one)
		wantOp(t, "Write", err, "write", syscall.EPIPE)
		send(t, b, "response")
		receive(t, a, "response")
	})
}

func TestConnReset(t *testing.T) {
	for name, reset := range map[string]func(n *mock.Network, a net.Conn){
		"by a connection": func(_ *mock.Network, a net.Conn) {
			a.(interface{ SetLinger(int) error }).SetLinger(0)
			a.Close()
		},
		"by the network": func(n *mock.Network, _ net.Conn) { n.Close() },
		"over a cut wire": func(n *mock.Network, _ net.Conn) {
			n.Cut()
			n.Close()
		},
	} {
		inBubble(t, func(t *testing.T, n *mock.Network, a, b net.Conn) {
			send(t, a, "lost")
			blocked := make(chan error)
			go func() {
				_, err := b.Write(make([]byte, 2*capacity))
				blocked <- err
			}()
			synctest.Wait()
			reset(n, a)
			wantOp(t, name+": blocked Write", <-blocked, "write", syscall.ECONNRESET)
			_, err := b.Read(one)
			wantOp(t, name+": Read", err, "read", syscall.ECONNRESET)
			_, err = b.Write(one)
			wantOp(t, name+": Write", err, "write", syscall.ECONNRESET)
		})
	}
}

// On a half-open connection neither bytes nor ends nor resets arrive, and only deadlines end a
// Read.
func TestConnHalfOpen(t *testing.T) {
	for name, leave := range map[string]func(c net.Conn){
		"nothing": func(net.Conn) {},
		"close":   func(c net.Conn) { c.Close() },
		"reset": func(c net.Conn) {
			c.(interface{ SetLinger(int) error }).SetLinger(0)
			c.Close()
		},
		"end": func(c net.Conn) { c.(interface{ CloseWrite() error }).CloseWrite() },
	} {
		inBubble(t, func(t *testing.T, n *mock.Network, a, b net.Conn) {
			send(t, a, "arrived")
			n.Cut()
			a.Write([]byte("under way"))
			leave(a)
			receive(t, b, "arrived")

			start := time.Now()
			b.SetReadDeadline(start.Add(24 * time.Hour))
			_, err := b.Read(one)
			wantOp(t, name+": Read", err, "read", os.ErrDeadlineExceeded)
			if d := time.Since(start); d != 24*time.Hour {
				t.Errorf("%s: Read took %v, want 24h", name, d)
			}
			b.SetWriteDeadline(time.Now().Add(time.Hour))
			send(t, b, strings.Repeat("x", capacity-1))
			sent, err := b.Write(make([]byte, 2))
			wantOp(t, name+": Write", err, "write", os.ErrDeadlineExceeded)
			if sent != 1 {
				t.Errorf("%s: Write: got %d bytes, want 1", name, sent)
			}
		})
	}
}

func TestConnDeadlineIsATimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, b net.Conn) {
		send(t, b, "there")
		a.SetDeadline(time.Now().Add(-time.Second))
		_, err := a.Read(one) // a deadline takes precedence over available data
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("Read: %v, want a timeout", err)
		}
		a.SetReadDeadline(time.Time{})
		receive(t, a, "there")
	})
}

// A deadline that is moved before it expires must not expire at its old time.
func TestConnDeadlineMoves(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, _ net.Conn) {
		start := time.Now()
		a.SetReadDeadline(start.Add(time.Minute))
		go func() {
			time.Sleep(time.Second)
			a.SetReadDeadline(start.Add(time.Hour))
		}()
		_, err := a.Read(one)
		wantOp(t, "Read", err, "read", os.ErrDeadlineExceeded)
		if d := time.Since(start); d != time.Hour {
			t.Errorf("Read took %v, want 1h", d)
		}
	})
}

// A deadline that expires while it is moved must not expire again later. The order is random, so
// the test tries often.
func TestConnDeadlineMovesAsItExpires(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, b net.Conn) {
		for range 1000 {
			a.SetReadDeadline(time.Now().Add(time.Second))
			time.Sleep(time.Second)
			a.SetReadDeadline(time.Now().Add(time.Hour))
			synctest.Wait()
			send(t, b, "x")
			receive(t, a, "x")
		}
	})
}

func TestConnReadIntoEmptySlice(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, _ net.Conn) {
		if n, err := a.Read(nil); n != 0 || err != nil {
			t.Errorf("Read into no bytes: got %d, %v, want 0", n, err)
		}
	})
}

func TestConnWriterWaitsForRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, b net.Conn) {
		const hour = time.Hour
		start := time.Now()
		go func() {
			time.Sleep(hour)
			io.CopyN(io.Discard, b, 1)
			time.Sleep(hour)
			io.Copy(io.Discard, b)
		}()
		send(t, a, strings.Repeat("x", capacity+1))
		if d := time.Since(start); d != hour {
			t.Errorf("the first Write took %v, want %v", d, hour)
		}
		send(t, a, "x")
		if d := time.Since(start); d != 2*hour {
			t.Errorf("the second Write took %v, want %v", d, 2*hour)
		}
		a.Close()
	})
}

func TestConnWritesDoNotMix(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, b net.Conn) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if _, err := a.Write(bytes.Repeat([]byte{'a' + byte(i)}, 3*capacity)); err != nil {
					t.Error(err)
				}
			})
		}
		go func() {
			wg.Wait()
			a.Close()
		}()
		all, err := io.ReadAll(b)
		if err != nil || len(all) != 8*3*capacity {
			t.Fatalf("ReadAll: got %d bytes, %v, want %d", len(all), err, 8*3*capacity)
		}
		runs := 1
		for i := 1; i < len(all); i++ {
			if all[i] != all[i-1] {
				runs++
			}
		}
		if runs != 8 {
			t.Errorf("got %d runs of equal bytes, want 8", runs)
		}
	})
}

func TestConnAddresses(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, b net.Conn) {
		if a.RemoteAddr().String() != "host.test:80" || b.LocalAddr().String() != "host.test:80" ||
			a.LocalAddr().String() != "192.0.2.1:49152" || b.RemoteAddr().String() != "192.0.2.1:49152" ||
			a.LocalAddr().Network() != "tcp" || b.LocalAddr().Network() != "tcp" {
			t.Errorf("got %v -> %v, %v <- %v, want 192.0.2.1:49152 and host.test:80", a.LocalAddr(), a.RemoteAddr(), b.LocalAddr(), b.RemoteAddr())
		}
	})
}

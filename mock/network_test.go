package mock_test

import (
	"bytes"
	"context"
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

// inBubble runs f in a bubble with a connection, and checks that nothing is left of it.
func inBubble(t *testing.T, f func(t *testing.T, n *mock.Network, dialed, accepted net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := mock.NewNetwork()
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

func connect(t *testing.T, n *mock.Network, l net.Listener) (dialed, accepted net.Conn) {
	t.Helper()
	dialed, err := n.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}

// wantOp checks that err is what package net would return.
func wantOp(t *testing.T, what string, err error, op string, want error) {
	t.Helper()
	var oe *net.OpError
	if !errors.As(err, &oe) || oe.Op != op || !errors.Is(err, want) {
		t.Errorf("%s: %v; want a *net.OpError of %s with %v", what, err, op, want)
	}
}

func send(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if n, err := io.WriteString(c, s); n != len(s) || err != nil {
		t.Errorf("Write: %d, %v", n, err)
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

func TestConnAfterItsOwnClose(t *testing.T) {
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

// A kernel ends the Reads of a closed socket before the peer learns of the close.
func TestConnCloseReadsNoReaction(t *testing.T) {
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
					t.Errorf("Read of a closed connection: %d bytes, %v", n, err)
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
			t.Errorf("ReadAll: %q, %v", all, err)
		}
		_, err = a.Write(one)
		wantOp(t, "Write", err, "write", syscall.EPIPE)
		send(t, b, "response")
		receive(t, a, "response")
	})
}

func TestConnReset(t *testing.T) {
	for name, reset := range map[string]func(n *mock.Network, a net.Conn){
		"by an end": func(_ *mock.Network, a net.Conn) {
			a.(interface{ SetLinger(int) error }).SetLinger(0)
			a.Close()
		},
		"by the network": func(n *mock.Network, _ net.Conn) { n.Reset() },
		"over a cut wire": func(n *mock.Network, _ net.Conn) {
			n.Cut()
			n.Reset()
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

// An end whose peer has vanished learns nothing: neither bytes nor ends nor resets come
// through, and only deadlines help.
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
				t.Errorf("%s: Read took %v", name, d)
			}
			b.SetWriteDeadline(time.Now().Add(time.Hour))
			send(t, b, strings.Repeat("x", capacity-1))
			sent, err := b.Write(make([]byte, 2))
			wantOp(t, name+": Write", err, "write", os.ErrDeadlineExceeded)
			if sent != 1 {
				t.Errorf("%s: Write: %d bytes, want 1", name, sent)
			}
		})
	}
}

func TestNetworkWorksAfterACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := mock.NewNetwork()
		l, err := n.Listen("host.test:80")
		if err != nil {
			t.Fatal(err)
		}
		n.Cut()
		a, b := connect(t, n, l)
		send(t, a, "hello")
		receive(t, b, "hello")
		a.Close()
		b.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestConnDeadlineIsATimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, b net.Conn) {
		send(t, b, "there")
		a.SetDeadline(time.Now().Add(-time.Second))
		_, err := a.Read(one) // a deadline comes before what is there
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("Read: %v, want a timeout", err)
		}
		a.SetReadDeadline(time.Time{})
		receive(t, a, "there")
	})
}

// A deadline that is moved before it goes off must not go off at its old time.
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
			t.Errorf("Read took %v", d)
		}
	})
}

// A deadline that goes off just as it is moved must not go off again later. Which of the
// two comes first is chance, so try often.
func TestConnDeadlineMovesAsItGoesOff(t *testing.T) {
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

func TestConnReadOfNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, _ net.Conn) {
		if n, err := a.Read(nil); n != 0 || err != nil {
			t.Errorf("Read: %d, %v", n, err)
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
			t.Errorf("the first Write took %v", d)
		}
		send(t, a, "x")
		if d := time.Since(start); d != 2*hour {
			t.Errorf("the second Write took %v", d)
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
			t.Fatalf("ReadAll: %d bytes, %v", len(all), err)
		}
		runs := 1
		for i := 1; i < len(all); i++ {
			if all[i] != all[i-1] {
				runs++
			}
		}
		if runs != 8 {
			t.Errorf("8 writes came as %d runs", runs)
		}
	})
}

func TestConnAddresses(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *mock.Network, a, b net.Conn) {
		if a.RemoteAddr().String() != "host.test:80" || b.LocalAddr().String() != "host.test:80" ||
			a.LocalAddr().String() != "192.0.2.1:49152" || b.RemoteAddr().String() != "192.0.2.1:49152" ||
			a.LocalAddr().Network() != "tcp" || b.LocalAddr().Network() != "tcp" {
			t.Errorf("%v -> %v, %v <- %v", a.LocalAddr(), a.RemoteAddr(), b.LocalAddr(), b.RemoteAddr())
		}
	})
}

func TestNetworkDial(t *testing.T) {
	n := mock.NewNetwork()
	defer n.Close()
	for _, addr := range []string{"a.test:80", "b.test:80", ":90"} {
		l, err := n.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		if addr == "b.test:80" {
			l.Close()
		}
	}
	for _, tt := range []struct {
		network, addr string
		want          error // nil: it connects
	}{
		{"tcp", "a.test:80", nil},
		{"tcp4", "A.Test.:80", nil},
		{"tcp", "a.test:90", nil},
		{"tcp", "c.test:90", nil},
		{"tcp", "a.test:81", syscall.ECONNREFUSED},
		{"tcp", "b.test:80", syscall.ECONNREFUSED},
		{"tcp", "c.test:80", syscall.ECONNREFUSED}, // there is no host that does not exist
		{"udp", "a.test:80", net.UnknownNetworkError("udp")},
	} {
		c, err := n.Dial(t.Context(), tt.network, tt.addr)
		if tt.want == nil && err == nil {
			c.Close()
			continue
		}
		wantOp(t, tt.addr, err, "dial", tt.want)
	}
	if _, err := n.Dial(t.Context(), "tcp", "a.test"); err == nil {
		t.Error("Dial without a port connects")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := n.Dial(ctx, "tcp", "a.test:80")
	wantOp(t, "cancelled", err, "dial", context.Canceled)
}

func TestNetworkUnknownHost(t *testing.T) {
	n := mock.NewNetwork()
	defer n.Close()
	if _, err := n.Listen("a.test:80"); err != nil {
		t.Fatal(err)
	}
	_, err := n.Dial(t.Context(), "tcp", "nowhere.test:80")
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsNotFound || dns.Name != "nowhere.test" {
		t.Errorf("Dial: %v, want a *net.DNSError", err)
	}
}

func TestNetworkListen(t *testing.T) {
	n := mock.NewNetwork()
	l, err := n.Listen("A.test:80")
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Listen("a.test:80")
	wantOp(t, "Listen", err, "listen", syscall.EADDRINUSE)
	if _, err := n.Listen("a.test"); err == nil {
		t.Error("Listen without a port")
	}
	if _, err := n.Listen("a.test:49152"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a.test:49153", "a.test:49154"} {
		free, err := n.Listen("a.test:0")
		if err != nil || free.Addr().String() != want {
			t.Errorf("Listen: %v, %v; want %s", free.Addr(), err, want)
		}
	}
	l.Close()
	_, err = l.Accept()
	wantOp(t, "Accept", err, "accept", net.ErrClosed)
	wantOp(t, "Close", l.Close(), "close", net.ErrClosed)
	if l, err = n.Listen("a.test:80"); err != nil {
		t.Errorf("Listen again: %v", err)
	}
	n.Close()
	_, err = l.Accept()
	wantOp(t, "Accept", err, "accept", net.ErrClosed)
	_, err = n.Listen("a.test:1")
	wantOp(t, "Listen", err, "listen", net.ErrClosed)
	_, err = n.Dial(t.Context(), "tcp", "a.test:80")
	wantOp(t, "Dial", err, "dial", syscall.ENETUNREACH)
}

// A listener that nobody accepts from keeps 128 connections; the next one waits, as long
// as its context lets it or until the listener closes, which resets those that it kept.
func TestNetworkBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := mock.NewNetwork()
		l, err := n.Listen("host.test:80")
		if err != nil {
			t.Fatal(err)
		}
		var kept []net.Conn
		for range 128 {
			c, err := n.Dial(t.Context(), "tcp", "host.test:80")
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, c)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = n.Dial(ctx, "tcp", "host.test:80")
		wantOp(t, "Dial", err, "dial", context.DeadlineExceeded)
		if d := time.Since(start); d != time.Hour {
			t.Errorf("Dial took %v", d)
		}
		go func() {
			synctest.Wait()
			if c, err := l.Accept(); err == nil {
				time.Sleep(time.Hour)
				c.Close()
			}
		}()
		start = time.Now()
		c, err := n.Dial(t.Context(), "tcp", "host.test:80")
		if err != nil || time.Since(start) != 0 {
			t.Errorf("Dial once there is room: %v after %v", err, time.Since(start))
		}
		time.Sleep(2 * time.Hour)
		kept[0].Close()
		kept[0] = c
		go func() {
			synctest.Wait()
			l.Close()
		}()
		_, err = n.Dial(t.Context(), "tcp", "host.test:80")
		wantOp(t, "Dial", err, "dial", syscall.ECONNREFUSED)
		synctest.Wait()
		for _, c := range kept {
			_, err := c.Read(one)
			wantOp(t, "Read", err, "read", syscall.ECONNRESET)
			c.Close()
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Dials and the listener's end meet in every order; no connection may hang.
func TestNetworkDialWhileTheListenerCloses(t *testing.T) {
	for range 200 {
		n := mock.NewNetwork()
		l, err := n.Listen("host.test:80")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				c, err := n.Dial(t.Context(), "tcp", "host.test:80")
				if err != nil {
					wantOp(t, "Dial", err, "dial", syscall.ECONNREFUSED)
					return
				}
				_, err = c.Read(one)
				wantOp(t, "Read", err, "read", syscall.ECONNRESET)
				c.Close()
			})
		}
		l.Close()
		wg.Wait()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNetworkCloseNamesWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := mock.NewNetwork()
		l, err := n.Listen("host.test:80")
		if err != nil {
			t.Fatal(err)
		}
		a, b := connect(t, n, l)
		start := time.Now()
		err = n.Close()
		const want = "mock: connection 192.0.2.1:49152 -> host.test:80: the accepting end was not closed\n" +
			"mock: connection 192.0.2.1:49152 -> host.test:80: the dialing end was not closed"
		if err == nil || err.Error() != want || time.Since(start) != 5*time.Second {
			t.Errorf("Close: %v after %v", err, time.Since(start))
		}
		_, err = a.Read(one)
		wantOp(t, "Read", err, "read", syscall.ECONNRESET)
		a.Close()
		go func() {
			time.Sleep(time.Second)
			b.Close()
		}()
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

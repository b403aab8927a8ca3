package mock_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
)

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

func TestNetworkWorksAfterACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(mock.Network)
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

func TestNetworkDial(t *testing.T) {
	n := new(mock.Network)
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
		{"tcp", "c.test:80", syscall.ECONNREFUSED}, // every host exists
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
		t.Error("Dial without a port: got no error, want one")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := n.Dial(ctx, "tcp", "a.test:80")
	wantOp(t, "cancelled", err, "dial", context.Canceled)
}

func TestNetworkUnknownHost(t *testing.T) {
	n := new(mock.Network)
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
	n := new(mock.Network)
	l, err := n.Listen("A.test:80")
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Listen("a.test:80")
	wantOp(t, "Listen", err, "listen", syscall.EADDRINUSE)
	if _, err := n.Listen("a.test"); err == nil {
		t.Error("Listen without a port: got no error, want one")
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

// A listener queues 128 connections. The next Dial waits until its context ends or the listener
// closes, which resets the queued connections.
func TestNetworkBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(mock.Network)
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
			t.Errorf("Dial took %v, want 1h", d)
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
			t.Errorf("Dial after an Accept: got %v after %v, want nil at once", err, time.Since(start))
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

// However a Dial and the close of the listener interleave, no connection hangs.
func TestNetworkDialWhileTheListenerCloses(t *testing.T) {
	for range 200 {
		n := new(mock.Network)
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
		n := new(mock.Network)
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
			t.Errorf("Close: got %v after %v, want %s after 5s", err, time.Since(start), want)
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

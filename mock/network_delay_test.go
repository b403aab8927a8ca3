package mock_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
)

// slow returns both ends of a slow connection.
func slow(t *testing.T, latency time.Duration, bandwidth int) (near, far net.Conn, n *mock.Network) {
	n = new(mock.Network)
	l, err := n.Listen("feed.test:80")
	if err != nil {
		t.Fatal(err)
	}
	n.Latency, n.Bandwidth = latency, bandwidth
	start := time.Now()
	if near, err = n.Dial(t.Context(), "tcp", "feed.test:80"); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d != 2*latency {
		t.Errorf("Dial took %v, want %v", d, 2*latency)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return near, far, n
}

func TestDelayLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, _ := slow(t, 100*time.Millisecond, 0)
		start := time.Now()
		near.Write([]byte("one"))
		time.Sleep(30 * time.Millisecond)
		near.Write([]byte("two"))
		near.Close()
		buf := make([]byte, 10)
		for _, want := range []struct {
			text string
			at   time.Duration
		}{{"one", 100 * time.Millisecond}, {"two", 130 * time.Millisecond}} {
			n, err := far.Read(buf)
			if string(buf[:n]) != want.text || err != nil || time.Since(start) != want.at {
				t.Errorf("got %q, %v after %v, want %q after %v", buf[:n], err, time.Since(start), want.text, want.at)
			}
		}
		if n, err := far.Read(buf); err != io.EOF {
			t.Errorf("got %q, %v, want io.EOF", buf[:n], err)
		}
	})
}

func TestDelayBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, _ := slow(t, time.Second, 1000)
		sent := bytes.Repeat([]byte("0123456789"), 20_000)
		start := time.Now()
		go func() {
			near.Write(sent) // more than the wire holds: it waits for the reader
			near.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(far)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("got %d bytes, %v, want the %d that were sent", len(got), err, len(sent))
		}
		if d := time.Since(start); d != 201*time.Second {
			t.Errorf("200 KB at 1 KB/s with 1 s of latency took %v, want 201s", d)
		}
	})
}

func TestDelayDeadlineAndCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, n := slow(t, time.Minute, 0)
		near.Write([]byte("late"))
		far.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: got error %v, want %v", err, os.ErrDeadlineExceeded)
		}
		n.Cut() // what is on its way does not arrive
		far.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: got error %v, want %v", err, os.ErrDeadlineExceeded)
		}
	})
}

// A request over a slow wire takes a round trip to dial, one for the answer, and the time of
// its bytes.
func TestDelayHTTP(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		synctest.Test(t, func(t *testing.T) {
			srv := mock.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, strings.Repeat("x", 100_000))
			}))
			defer func() {
				if err := srv.Close(); err != nil {
					t.Error(err)
				}
			}()
			srv.Latency, srv.Bandwidth = 50*time.Millisecond, 100_000
			start := time.Now()
			resp, err := srv.Client().Get(scheme + "://feed.test/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if d := time.Since(start); err != nil || len(body) != 100_000 || d < 1200*time.Millisecond || d > 2*time.Second {
				t.Errorf("%s: got %d bytes, %v after %v, want 100000 after 1.2s to 2s", scheme, len(body), err, d)
			}
		})
	}
}

package transport_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// A rate that Validate accepts does not exhaust memory.
func TestSendRateMaximum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.SendRate = transport.Rate{N: math.MaxInt, Per: time.Second}
		if w.Validate() != nil {
			return
		}
		conn, err := w.Open(t.Context(), "")
		if err == nil {
			conn.Close()
		}
	})
}

func TestWebSocketSendRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		over := make(chan bool)
		w := sockets(t, func(p *peer) {
			defer close(over)
			for !strings.HasPrefix(p.hear(), "error") {
				at = append(at, time.Since(start))
			}
		})
		w.SendRate = transport.Rate{N: 16, Per: time.Minute}
		w.OnConnect = func(_ context.Context, s *transport.Socket, _ string) error {
			s.Heartbeat(transport.Heartbeat{Interval: 20 * time.Second, Message: func() []byte { return []byte("beat") }})
			return nil
		}
		conn := openSocket(t, w, "")
		go dies(conn)
		for range 100 {
			if err := w.Send(t.Context(), []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		for err := error(nil); !errors.Is(err, context.DeadlineExceeded); {
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			if err = w.Send(short, []byte("x")); err != nil && short.Err() == nil {
				t.Fatal(err)
			}
			cancel()
		}
		conn.Close()
		<-over
		if at[13] != 0 || at[15] == 0 {
			t.Errorf("got the first messages at %v, want 14 at once and then a pause", at[:16])
		}
		for i := 16; i < len(at); i++ {
			if at[i]-at[i-16] < time.Minute {
				t.Fatalf("got 17 messages within %v, want at least 1m", at[i]-at[i-16])
			}
		}
		if err := w.Send(t.Context(), nil); !errors.Is(err, transport.ErrNotConnected) {
			t.Errorf("Send: got %v, want %v", err, transport.ErrNotConnected)
		}
	})
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A broadcast numbers its messages from its start, and a connection gets those from now on.
type broadcast struct {
	every time.Duration
	start time.Time
	life  int // messages of a connection, 0: no end
	opens atomic.Int32
}

func (b *broadcast) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	b.opens.Add(1)
	ctx := c.CloseRead(r.Context())
	next := int(time.Since(b.start)/b.every) + 1
	own := 1
	for i := 0; b.life == 0 || i < b.life; i++ {
		select {
		case <-time.After(time.Until(b.start.Add(time.Duration(next) * b.every))):
		case <-ctx.Done():
			return
		}
		text := fmt.Sprintf(`{"seq":%d,"own":%d}`, next, own)
		if c.Write(ctx, websocket.MessageText, []byte(text)) != nil {
			return
		}
		next++
		own++
	}
}

func (b *broadcast) check(t *testing.T, configure func(*transport.WebSocket), opts *client.Options, last int, pause time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		b.start = time.Now()
		srv := mock.NewServer(b)
		defer srv.Close()
		w := &transport.WebSocket{URL: "ws://feed.test/", Client: srv.Client()}
		configure(w)
		sub, err := client.Subscribe(t.Context(), w, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		seen, silent, gaps := 0, 0, 0
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			n := seqOf(ev.Data)
			if ev.Gap != nil {
				gaps++
			} else if seen > 0 && n > seen+1 {
				silent += n - seen - 1
				t.Logf("%v: after %d comes %d", time.Since(b.start), seen, n)
			}
			seen = max(seen, n)
			if seen >= last {
				break
			}
			time.Sleep(pause)
		}
		if silent > 0 {
			t.Errorf("%d events were lost in silence (%d gaps said, %d connections)", silent, gaps, b.opens.Load())
		}
	})
}

// The old connection is closed while much of it is still to be read.
func TestWebSocketEdgeHandoverSlowConsumer(t *testing.T) {
	b := &broadcast{every: 100 * time.Millisecond}
	b.check(t, func(w *transport.WebSocket) {
		w.Overlap, w.MaxConnectionAge = true, 30*time.Second
	}, &client.Options{Buffer: 4}, 600, 200*time.Millisecond)
}

// The same, with a consumer that is quick, but was busy for a moment.
func TestWebSocketEdgeHandoverBusyMoment(t *testing.T) {
	b := &broadcast{every: 100 * time.Millisecond}
	synctest.Test(t, func(t *testing.T) {
		b.start = time.Now()
		srv := mock.NewServer(b)
		defer srv.Close()
		w := &transport.WebSocket{URL: "ws://feed.test/", Client: srv.Client(), Overlap: true, MaxConnectionAge: 30 * time.Second}
		sub, err := client.Subscribe(t.Context(), w, &client.Options{Buffer: 16})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		seen := 0
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			n := seqOf(ev.Data)
			if seen > 0 && n > seen+1 && ev.Gap == nil {
				t.Errorf("after %d comes %d without a gap", seen, n)
			}
			seen = max(seen, n)
			if n == 250 {
				time.Sleep(8 * time.Second) // within MaxPause
			}
			if n > 600 {
				return
			}
		}
	})
}

// Ids without a position to resume from: the transport has no way to present a token.
func TestWebSocketEdgeIDsWithoutResume(t *testing.T) {
	b := &broadcast{every: 100 * time.Millisecond, life: 50}
	b.check(t, func(w *transport.WebSocket) {
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			m.ID = strconv.Itoa(seqOf(m.Data))
			m.Token = m.ID
			return nil
		}
	}, nil, 600, 0)
}

func TestWebSocketEdgeIDsWithoutResumeHandover(t *testing.T) {
	b := &broadcast{every: 10 * time.Millisecond}
	b.check(t, func(w *transport.WebSocket) {
		w.Overlap, w.MaxConnectionAge = true, 10*time.Second
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			m.ID = strconv.Itoa(seqOf(m.Data))
			m.Token = m.ID
			return nil
		}
	}, &client.Options{Buffer: 4}, 6000, 12*time.Millisecond)
}

// asks is an error with a time to wait.
type asks struct{}

func (asks) Error() string             { return "too many" }
func (asks) RetryAfter() time.Duration { return 10 * time.Minute }
func (asks) StatusCode() int           { return 429 }

// A server that asks for ten minutes is left alone for ten minutes.
func TestWebSocketEdgeHandoverRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &ticker{tick: time.Second, start: time.Now(), life: time.Hour, warning: 20 * time.Minute}
		feed.refuse = func(open int) error {
			if open > 1 && time.Since(feed.start) < 55*time.Minute {
				return asks{}
			}
			return nil
		}
		var told atomic.Int32
		sub, err := client.Subscribe(t.Context(), feed, &client.Options{Trace: &client.Trace{Disconnected: func(d client.DisconnectInfo) {
			if errors.Is(d.Err, asks{}) {
				told.Add(1)
			}
		}}})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for range sub.Events() {
			}
		}()
		time.Sleep(50 * time.Minute)
		feed.mu.Lock()
		opens := feed.opens
		feed.mu.Unlock()
		if opens > 3 {
			t.Errorf("asked %d times in ten minutes", opens-1)
		}
		if told.Load() == 0 {
			t.Errorf("nobody was told of %d failed attempts", opens-1)
		}
		sub.Close()
	})
}

// Reconnect while a successor does not come.
func TestWebSocketEdgeReconnectDuringHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &slowOpen{ticker: ticker{tick: time.Second, start: time.Now(), life: time.Hour, warning: 10 * time.Minute}}
		sub, err := client.Subscribe(t.Context(), feed, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for range sub.Events() {
			}
		}()
		time.Sleep(50*time.Minute + time.Second)
		sub.Reconnect()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := feed.open(); n == 0 && sub.Stats().State != client.StateConnecting {
			t.Errorf("an hour after Reconnect no connection is open, state %v", sub.Stats().State)
		}
		sub.Close()
	})
}

// A server that says good-bye to each connection at once is not asked in a tight loop.
func TestWebSocketEdgeHandoverStorm(t *testing.T) {
	g := &gateway{every: time.Second}
	var opens atomic.Int32
	g.scene = func(n int, c *websocket.Conn, send func() error) {
		opens.Add(1)
		c.CloseRead(context.Background())
		time.Sleep(time.Millisecond) // the network
		c.Write(context.Background(), websocket.MessageText, []byte("bye"))
		for send() == nil {
		}
	}
	run(t, g, func(w *transport.WebSocket) { w.Overlap = true }, &client.Options{StartAfter: "0"}, func(t *testing.T, sub *client.Subscription) {
		go func() {
			for range sub.Events() {
			}
		}()
		time.Sleep(5 * time.Second)
		if n := opens.Load(); n > 20 {
			t.Errorf("%d connections in five seconds", n)
		}
	})
}

// slowly is a feed whose connections take their time to open and begin with what comes then.
type slowly struct {
	*ticker
	takes time.Duration
}

func (s slowly) Validate() error { return nil }

func (s slowly) Open(ctx context.Context, token string) (*transport.Session, error) {
	time.Sleep(s.takes)
	return s.ticker.Open(ctx, token)
}

// The old connection ends before its successor is open: what comes between is lost.
func TestWebSocketEdgeHandoverTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := slowly{&ticker{tick: 100 * time.Millisecond, start: time.Now(), life: time.Minute, warning: time.Second, live: true}, 3 * time.Second}
		sub, err := client.Subscribe(t.Context(), feed, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		last := 0
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			n := tickOf(t, ev)
			if last > 0 && n > last+1 && ev.Gap == nil {
				t.Errorf("after %d comes %d without a gap", last, n)
			}
			if last = n; n > 700 {
				return
			}
		}
	})
}

// Numbers that each connection counts for itself.
func TestWebSocketEdgeHandoverOwnNumbers(t *testing.T) {
	b := &broadcast{every: 100 * time.Millisecond}
	b.check(t, func(w *transport.WebSocket) {
		w.Overlap, w.MaxConnectionAge = true, 30*time.Second
	}, &client.Options{SequenceOf: func(ev client.Event) (string, uint64, bool) {
		var seq, own int
		fmt.Sscanf(string(ev.Data), `{"seq":%d,"own":%d}`, &seq, &own)
		return "", uint64(own), true
	}}, 600, 0)
}

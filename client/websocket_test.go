package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A gateway is a feed over WebSockets with numbered messages, served by another library than the
// one under test. It sends once the client has subscribed from a number.
type gateway struct {
	t     *testing.T
	every time.Duration // between messages
	// scene runs on the n-th connection; send sends the next message of the log.
	scene func(n int, c *websocket.Conn, send func() error)

	mu    sync.Mutex
	start time.Time
	from  []int // the numbers that the connections started from
	open  atomic.Int32
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		g.t.Errorf("Accept: %v", err)
		return
	}
	defer c.CloseNow()
	g.open.Add(1)
	defer g.open.Add(-1)
	_, b, err := c.Read(r.Context())
	if err != nil {
		return
	}
	next, err := strconv.Atoi(strings.TrimPrefix(string(b), "from "))
	if err != nil {
		g.t.Errorf("got the subscription %q, want from and a number", b)
		return
	}
	g.mu.Lock()
	g.from = append(g.from, next)
	n := len(g.from)
	g.mu.Unlock()
	if c.Write(r.Context(), websocket.MessageText, []byte("subscribed")) != nil {
		return
	}
	g.scene(n, c, func() error {
		due := g.start.Add(time.Duration(next) * g.every)
		select {
		case <-time.After(time.Until(due)):
		case <-r.Context().Done():
			return r.Context().Err()
		}
		text := fmt.Sprintf(`{"seq":%d}`, next)
		next++
		return c.Write(r.Context(), websocket.MessageText, []byte(text))
	})
}

// feed returns the client's side.
func (g *gateway) feed(srv *mock.Server) *transport.WebSocket {
	return &transport.WebSocket{
		URL: "ws://gateway.test", Client: srv.Client(),
		OnConnect: func(ctx context.Context, s *transport.Socket, token string) error {
			from, _ := strconv.Atoi(token)
			if err := s.Send(ctx, fmt.Appendf(nil, "from %d", from+1)); err != nil {
				return err
			}
			m, err := s.Receive()
			if err == nil && string(m.Data) != "subscribed" {
				err = fmt.Errorf("subscribed is %q", m.Data)
			}
			return err
		},
		OnMessage: func(s *transport.Socket, m *transport.Message) error {
			if string(m.Data) == "bye" {
				m.Kind = decode.KindKeepalive
				s.Replace()
				return nil
			}
			m.ID = strconv.Itoa(seqOf(m.Data))
			m.Token = m.ID
			return nil
		},
	}
}

func seqOf(data []byte) int {
	var v struct{ Seq int }
	json.Unmarshal(data, &v)
	return v.Seq
}

// follow reads the numbers want to last, each once and without a gap.
func (g *gateway) follow(t *testing.T, sub *client.Subscription, want, last int) {
	t.Helper()
	for ev, err := range sub.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if n := seqOf(ev.Data); n != want || ev.Gap != nil {
			t.Fatalf("got message %d with gap %v, want %d without one", n, ev.Gap, want)
		}
		if want++; want > last {
			return
		}
	}
}

func run(t *testing.T, g *gateway, configure func(*transport.WebSocket), opts *client.Options, f func(t *testing.T, sub *client.Subscription)) {
	synctest.Test(t, func(t *testing.T) {
		g.t, g.start = t, time.Now()
		srv := mock.NewServer(g)
		defer func() {
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
		}()
		feed := g.feed(srv)
		if configure != nil {
			configure(feed)
		}
		sub, err := client.Subscribe(t.Context(), feed, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		f(t, sub)
	})
}

func TestWebSocketResumes(t *testing.T) {
	ends := []func(c *websocket.Conn){
		func(c *websocket.Conn) { c.CloseNow() },
		func(c *websocket.Conn) { c.Close(1000, "") },
		func(c *websocket.Conn) { c.Close(1001, "") },
		func(c *websocket.Conn) { c.Close(1012, "") },
		func(c *websocket.Conn) { c.Close(4321, "") },
		func(c *websocket.Conn) { time.Sleep(3 * time.Second) }, // handler returns, connection is reset
	}
	g := &gateway{every: time.Second}
	g.scene = func(n int, c *websocket.Conn, send func() error) {
		for range 10 {
			if send() != nil {
				return
			}
		}
		ends[n%len(ends)](c)
	}
	run(t, g, nil, nil, func(t *testing.T, sub *client.Subscription) { g.follow(t, sub, 1, 200) })
	for i, from := range g.from {
		if from != 10*i+1 {
			t.Errorf("connection %d: got start %d, want %d", i, from, 10*i+1)
		}
	}
}

func TestWebSocketThatIsClosedAtOnceBacksOff(t *testing.T) {
	g := &gateway{every: time.Second}
	g.scene = func(n int, c *websocket.Conn, send func() error) {
		if n < 12 {
			c.Close(1001, "")
			return
		}
		for send() == nil {
		}
	}
	run(t, g, nil, nil, func(t *testing.T, sub *client.Subscription) {
		start := time.Now()
		ev, err := sub.Next(t.Context())
		if err != nil || ev.Gap == nil || ev.Gap.Reason != transport.GapNoToken {
			t.Fatalf("got gap %v, %v, want one without a token", ev.Gap, err)
		}
		g.follow(t, sub, 2, 5)
		if d := time.Since(start); d < 30*time.Second || d > 10*time.Minute {
			t.Errorf("twelve attempts took %v, want 30s to 10m", d)
		}
	})
}

// Close code 1012 asks for a delay of 5 to 30 s. The reconnect then adds up to one more second.
func TestWebSocketWaitsAfter1012(t *testing.T) {
	g := &gateway{every: time.Millisecond}
	g.scene = func(n int, c *websocket.Conn, send func() error) {
		send()
		time.Sleep(time.Second) // otherwise the delays would grow
		c.Close(1012, "")
	}
	run(t, g, nil, nil, func(t *testing.T, sub *client.Subscription) {
		last := time.Now()
		for n := range 20 {
			if _, err := sub.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(last); n > 0 && (d < 6*time.Second || d > 33*time.Second) {
				t.Errorf("reconnected after %v, want 6s to 33s", d)
			}
			last = time.Now()
		}
	})
}

func TestWebSocketRejectedToken(t *testing.T) {
	g := &gateway{every: time.Second}
	g.scene = func(n int, c *websocket.Conn, send func() error) {
		for range 3 {
			send()
		}
		switch n {
		case 1:
			c.CloseNow()
		case 2:
			c.Close(4007, "")
		default:
			for send() == nil {
			}
		}
	}
	run(t, g, nil, nil, func(t *testing.T, sub *client.Subscription) {
		var got []string
		for range 9 {
			ev, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			text := string(ev.Data)
			if ev.Gap != nil {
				text += " " + string(ev.Gap.Reason) + " " + ev.Gap.From
			}
			got = append(got, text)
		}
		if got[6] != `{"seq":1} token rejected 6` {
			t.Errorf("got %q, want message 1 with a rejected token after 6", got)
		}
	})
}

// It ends after three more attempts.
func TestWebSocketThatNeverWorkedStops(t *testing.T) {
	for _, code := range []websocket.StatusCode{1009, 4004, 3500} {
		g := &gateway{}
		g.scene = func(n int, c *websocket.Conn, send func() error) { c.Close(code, "") }
		run(t, g, nil, nil, func(t *testing.T, sub *client.Subscription) {
			_, err := sub.Next(t.Context())
			var stop *client.StopError
			var closed *transport.CloseError
			if !errors.As(err, &stop) || !errors.As(err, &closed) || closed.Code != int(code) || stop.Attempts != 4 {
				t.Errorf("%d: got %v, want a StopError after 4 attempts with that code", code, err)
			}
		})
	}
}

func TestWebSocketIsParkedForASlowConsumer(t *testing.T) {
	g := &gateway{every: 100 * time.Millisecond}
	codes := make(chan websocket.StatusCode, 2)
	g.scene = func(n int, c *websocket.Conn, send func() error) {
		ended := make(chan bool)
		go func() {
			_, _, err := c.Read(context.Background())
			codes <- websocket.CloseStatus(err)
			close(ended)
		}()
		for send() == nil {
		}
		<-ended
	}
	run(t, g, func(w *transport.WebSocket) { w.CloseCode = 4000 }, &client.Options{Buffer: 50}, func(t *testing.T, sub *client.Subscription) {
		time.Sleep(5*time.Second + 9*time.Second)
		if g.open.Load() != 1 {
			t.Errorf("got %d open connections, want 1", g.open.Load())
		}
		time.Sleep(5 * time.Minute)
		if g.open.Load() != 0 || sub.Stats().State != client.StateFull {
			t.Errorf("got %d open connections in state %v, want 0 in %v", g.open.Load(), sub.Stats().State, client.StateFull)
		}
		g.follow(t, sub, 1, 400)
	})
	if len(g.from) != 2 || g.from[1] != 51 {
		t.Errorf("got connections from %v, want two, the second from 51", g.from)
	}
	if code := <-codes; code != 4000 {
		t.Errorf("got close code %v, want 4000", code)
	}
}

// The next connection is open before the one that expires is closed.
func TestWebSocketOverlap(t *testing.T) {
	for _, mode := range []string{"notice", "age", "second refused"} {
		t.Run(mode, func(t *testing.T) {
			g := &gateway{every: 100 * time.Millisecond}
			var most atomic.Int32
			g.scene = func(n int, c *websocket.Conn, send func() error) {
				c.CloseRead(context.Background())
				most.Store(max(most.Load(), g.open.Load()))
				if mode == "second refused" && g.open.Load() > 1 {
					c.Close(4321, "one at a time")
					return
				}
				for i := 0; send() == nil; i++ {
					if mode != "age" && i == 100 {
						c.Write(context.Background(), websocket.MessageText, []byte("bye"))
					}
					if mode == "second refused" && i == 200 {
						return
					}
				}
			}
			var disconnects atomic.Int32
			opts := &client.Options{Trace: &client.Trace{Disconnected: func(d client.DisconnectInfo) {
				if d.Delay > 0 {
					disconnects.Add(1)
				}
			}}}
			configure := func(w *transport.WebSocket) {
				w.Overlap = true
				if mode == "age" {
					w.MaxConnectionAge = time.Minute
				}
			}
			run(t, g, configure, opts, func(t *testing.T, sub *client.Subscription) { g.follow(t, sub, 1, 2000) })
			if mode == "second refused" {
				return // it can only lose nothing
			}
			if most.Load() != 2 || len(g.from) < 3 || disconnects.Load() != 0 {
				t.Errorf("got %d open at once, %d connections, %d backoffs, want 2, at least 3 and 0", most.Load(), len(g.from), disconnects.Load())
			}
		})
	}
}

// The feed is quiet for as long as its credentials last, twice.
func TestQuietWebSocketSurvivesExpiredCredentials(t *testing.T) {
	g := &gateway{}
	g.scene = func(n int, c *websocket.Conn, send func() error) {
		gone := c.CloseRead(context.Background())
		if n == 1 || n == 5 {
			send()
		}
		select {
		case <-time.After(time.Hour):
		case <-gone.Done():
		}
		c.Close(4401, "token expired")
	}
	run(t, g, nil, nil, func(t *testing.T, sub *client.Subscription) { g.follow(t, sub, 1, 2) })
}

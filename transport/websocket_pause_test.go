package transport_test

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// A process that was stopped for a minute finds its timers overdue and the bytes of its peer in
// the socket. It reads them before it judges the peer. A silent one is given up all the same.
func TestWebSocketPause(t *testing.T) {
	late := func(at time.Duration) func(net.Conn) {
		return func(net.Conn) { time.Sleep(at) }
	}
	for op, c := range map[string]struct {
		feed    *transport.WebSocket
		hello   func(context.Context, *transport.Socket, string) error
		send    int
		stopped time.Duration
		answer  func(net.Conn) // returns a little too late, but for the pause
	}{
		"message": {
			feed:    &transport.WebSocket{IdleTimeout: 10 * time.Second},
			stopped: 9 * time.Second, answer: late(10500 * time.Millisecond),
		},
		"pong": {
			feed:    &transport.WebSocket{PingInterval: 10 * time.Second, PongTimeout: 5 * time.Second},
			stopped: 19 * time.Second, answer: late(20500 * time.Millisecond),
		},
		"heartbeat": {
			feed: &transport.WebSocket{Control: func(s *transport.Socket, _ *transport.Message) error {
				s.Answered()
				return nil
			}},
			hello: func(_ context.Context, s *transport.Socket, _ string) error {
				s.Heartbeat(10*time.Second, true, func() []byte { return []byte("beat") })
				return nil
			},
			stopped: 10 * time.Second, // between the first and the second
			answer: func(conn net.Conn) {
				conn.Read(make([]byte, 100)) // the first, after at most ten seconds
				time.Sleep(10500 * time.Millisecond)
			},
		},
		"write": {
			send: 1 << 20, stopped: 2 * time.Second,
			answer: func(conn net.Conn) {
				time.Sleep(4500 * time.Millisecond)
				go io.Copy(io.Discard, conn)
			},
		},
		"hello": {
			hello: func(ctx context.Context, s *transport.Socket, _ string) error {
				m, err := s.Receive()
				s.Unread(m)
				return err
			},
			stopped: 9 * time.Second, answer: late(10500 * time.Millisecond),
		},
	} {
		for name, alive := range map[string]bool{"alive": true, "silent": false} {
			t.Run(op+" "+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					over := make(chan struct{})
					defer close(over)
					w := raw(t, func(conn net.Conn) {
						if alive {
							c.answer(conn)
							conn.Write(wsFrame(fin|opText, "here"))
						}
						<-over
					})
					if c.feed == nil {
						c.feed = new(transport.WebSocket)
					}
					w.IdleTimeout, w.PingInterval, w.PongTimeout = c.feed.IdleTimeout, c.feed.PingInterval, c.feed.PongTimeout
					w.Control = c.feed.Control
					w.Hello = func(ctx context.Context, s *transport.Socket, token string) error {
						go func() {
							time.Sleep(c.stopped)
							synctest.Wait()
							s.Oversleep(time.Minute)
						}()
						if c.hello == nil {
							return nil
						}
						return c.hello(ctx, s, token)
					}
					conn, err := w.Open(t.Context(), "")
					if err == nil {
						defer conn.Close()
						if c.send > 0 {
							go w.Send(t.Context(), make([]byte, c.send))
						}
						_, err = readFrom(conn)
					}
					switch {
					case alive && err != nil:
						t.Errorf("given up, although it was alive: %v", err)
					case !alive:
						isTimeout(t, err, op)
					}
				})
			})
		}
	}
}

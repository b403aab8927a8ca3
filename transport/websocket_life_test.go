package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// dies reads until conn fails, and returns how long that took and the error.
func dies(conn transport.Conn) (time.Duration, error) {
	start := time.Now()
	for {
		if _, err := readFrom(conn); err != nil {
			return time.Since(start), err
		}
	}
}

func isTimeout(t *testing.T, err error, op string) {
	t.Helper()
	if e := want[*transport.TimeoutError](t, err); e.Op != op {
		t.Errorf("got %q: %v", e.Op, e)
	}
}

func TestWebSocketHalfOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) { time.Sleep(time.Hour) })
		conn := openSocket(t, w, "")
		after, err := dies(conn)
		isTimeout(t, err, "pong")
		if after != 20*time.Second+2*10*time.Second {
			t.Errorf("given up after %v", after)
		}
		time.Sleep(time.Hour)
	})
}

// Any byte is life: a pong that is late, one with the wrong payload, a byte of a message.
func TestWebSocketSignsOfLife(t *testing.T) {
	for name, serve := range map[string]func(conn net.Conn){
		"wrong pong": func(conn net.Conn) {
			for buf := make([]byte, 100); ; {
				if _, err := conn.Read(buf); err != nil {
					return
				}
				conn.Write(wsFrame(fin|opPong, "wrong"))
			}
		},
		"late pong": func(conn net.Conn) {
			for buf := make([]byte, 100); ; {
				if _, err := conn.Read(buf); err != nil {
					return
				}
				time.Sleep(15 * time.Second)
				conn.Write(wsFrame(fin|opPong, ""))
			}
		},
		"one message in an hour": func(conn net.Conn) {
			for _, b := range wsFrame(fin|opText, strings.Repeat("x", 100)) {
				time.Sleep(35 * time.Second)
				conn.Write([]byte{b})
			}
			hangUp(conn)
		},
		"pings": func(conn net.Conn) {
			for range 110 {
				time.Sleep(35 * time.Second)
				if _, err := conn.Write(wsFrame(fin|opPing, "")); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				conn := openSocket(t, raw(t, serve), "")
				time.AfterFunc(time.Hour, func() { conn.Close() })
				if after, err := dies(conn); !errors.Is(err, net.ErrClosed) || after < time.Hour {
					t.Errorf("%v after %v", err, after)
				}
				time.Sleep(time.Minute) // for the server to notice
			})
		})
	}
}

// A server that answers pings keeps the connection for hours, and gets no more of them than
// PingInterval says; while it talks it gets none.
func TestWebSocketPings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var pings atomic.Int64
		w := socketsWith(t, &websocket.AcceptOptions{OnPingReceived: func(context.Context, []byte) bool {
			pings.Add(1)
			return true
		}}, func(p *peer) {
			go func() {
				for range 100 {
					time.Sleep(10 * time.Second)
					p.say("x")
				}
			}()
			p.wait()
		})
		conn := openSocket(t, w, "")
		go dies(conn)
		time.Sleep(1000 * time.Second)
		if n := pings.Load(); n != 0 {
			t.Errorf("%d pings although there were messages", n)
		}
		const hours = 6
		time.Sleep(hours * time.Hour)
		if n, most := pings.Load(), int64(hours*3600/20); n > most || n < most-2 {
			t.Errorf("%d pings, want about %d", n, most)
		}
	})
}

func TestWebSocketNoPings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) { time.Sleep(48 * time.Hour) })
		w.PingInterval = -1
		conn := openSocket(t, w, "")
		time.AfterFunc(24*time.Hour, func() { conn.Close() })
		if _, err := dies(conn); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		time.Sleep(48 * time.Hour)
	})
}

// While nobody reads, pongs cannot be seen; that is no reason to give up.
func TestWebSocketUnread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say("one")
			time.AfterFunc(time.Hour, func() { p.say("two") })
			p.wait()
		})
		w.IdleTimeout = 2 * time.Minute
		conn := openSocket(t, w, "")
		read(t, conn)
		time.Sleep(time.Hour - 100*time.Second)
		if m := read(t, conn); string(m.Data) != "two" {
			t.Errorf("got %q", m.Data)
		}
		if conn.MaxPause != 10*time.Second {
			t.Errorf("MaxPause is %v, want 10 s", conn.MaxPause)
		}
	})
}

func TestWebSocketIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			for i := range 5 {
				time.AfterFunc(time.Duration(i+1)*50*time.Second, func() { p.say("x") })
			}
			p.wait()
		})
		w.IdleTimeout = time.Minute
		after, err := dies(openSocket(t, w, ""))
		isTimeout(t, err, "message")
		if after != 310*time.Second {
			t.Errorf("given up after %v", after)
		}
	})
	bubble(t, func(t *testing.T) { // the server has said how often it speaks
		w := sockets(t, func(p *peer) {
			p.say("hello")
			p.wait()
		})
		w.OnMessage = func(s *transport.Socket, m *transport.Message) error {
			s.SetIdleTimeout(33 * time.Second)
			return nil
		}
		after, err := dies(openSocket(t, w, ""))
		isTimeout(t, err, "message")
		if after != 33*time.Second {
			t.Errorf("given up after %v", after)
		}
	})
}

// Three days of a gateway's heartbeat, then an answer is missing.
func TestWebSocketHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const beats = 6 * 60
		var at []time.Duration
		start := time.Now()
		w := sockets(t, func(p *peer) {
			for i := range beats {
				if got := p.hear(); got != "beat" {
					t.Errorf("heard %q", got)
					return
				}
				at = append(at, time.Since(start))
				if i < beats-1 {
					p.say("ack")
				}
			}
			p.wait()
		})
		w.OnConnect = func(_ context.Context, s *transport.Socket, _ string) error {
			s.Heartbeat(transport.Heartbeat{Interval: time.Minute, RequireAck: true, Message: func() []byte { return []byte("beat") }})
			return nil
		}
		w.OnMessage = func(s *transport.Socket, m *transport.Message) error {
			m.Kind = decode.KindKeepalive
			s.HeartbeatAcked()
			return nil
		}
		after, err := dies(openSocket(t, w, ""))
		isTimeout(t, err, "heartbeat")
		if len(at) != beats || at[0] >= time.Minute || after != at[beats-1]+time.Minute {
			t.Errorf("%d beats, the first at %v, end at %v", len(at), at[0], after)
		}
		for i := 1; i < len(at); i++ {
			if at[i]-at[i-1] != time.Minute {
				t.Fatalf("beat %d follows after %v", i, at[i]-at[i-1])
			}
		}
	})
}

func TestWebSocketHeartbeatReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var got []string
		over := make(chan bool)
		w := sockets(t, func(p *peer) {
			defer close(over)
			for {
				m := p.hear()
				if strings.HasPrefix(m, "error") {
					return
				}
				got = append(got, m)
			}
		})
		w.OnConnect = func(_ context.Context, s *transport.Socket, _ string) error {
			s.Heartbeat(transport.Heartbeat{Interval: time.Second, RequireAck: true, Message: func() []byte { return []byte("first") }})
			s.Heartbeat(transport.Heartbeat{Interval: time.Minute, Message: func() []byte { return []byte("second") }})
			return nil
		}
		conn := openSocket(t, w, "")
		go dies(conn)
		time.Sleep(150 * time.Second)
		conn.Close()
		<-over
		if len(got) < 2 || len(got) > 3 || got[0] != "second" {
			t.Errorf("heard %q", got)
		}
	})
}

// A peer that takes nothing more ends the connection, rather than blocking its reader.
func TestWebSocketStuckWriter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) { time.Sleep(time.Hour) })
		conn := openSocket(t, w, "")
		failed := make(chan error, 1)
		go func() {
			for {
				if err := w.Send(t.Context(), make([]byte, 10000)); err != nil {
					failed <- err
					return
				}
			}
		}()
		after, err := dies(conn)
		isTimeout(t, err, "write")
		if after != 4*time.Second {
			t.Errorf("given up after %v", after)
		}
		if err := <-failed; !errors.Is(err, transport.ErrNotConnected) {
			t.Errorf("Send: %v", err)
		}
		time.Sleep(time.Hour)
	})
}

func TestWebSocketSend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		heard := make(chan string, 2)
		w := sockets(t, func(p *peer) {
			for range 2 {
				kind, b, _ := p.Read(p.req.Context())
				heard <- kind.String() + " " + string(b)
			}
			p.wait()
		})
		conn := openSocket(t, w, "")
		go dies(conn)
		if err := w.Send(t.Context(), []byte("text")); err != nil {
			t.Error(err)
		}
		if err := w.SendBinary(t.Context(), []byte{0xff}); err != nil {
			t.Error(err)
		}
		if a, b := <-heard, <-heard; a != "MessageText text" || b != "MessageBinary \xff" {
			t.Errorf("heard %q, %q", a, b)
		}
		want[*transport.MessageError](t, w.Send(t.Context(), []byte{0xff}))
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.Send(done, []byte("late")); !errors.Is(err, context.Canceled) {
			t.Errorf("Send: %v", err)
		}
		conn.Close()
		if err := w.Send(t.Context(), []byte("down")); !errors.Is(err, transport.ErrNotConnected) {
			t.Errorf("Send: %v", err)
		}
	})
}

func TestWebSocketSendRate(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("the first messages came at %v", at[:16])
		}
		for i := 16; i < len(at); i++ {
			if at[i]-at[i-16] < time.Minute {
				t.Fatalf("17 messages within %v", at[i]-at[i-16])
			}
		}
		if err := w.Send(t.Context(), nil); !errors.Is(err, transport.ErrNotConnected) {
			t.Errorf("Send: %v", err)
		}
	})
}

func TestWebSocketMaxAge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			for {
				p.say("x")
				if _, _, err := p.Read(p.req.Context()); err != nil {
					if websocket.CloseStatus(err) != 4000 {
						t.Errorf("closed with %v", err)
					}
					return
				}
			}
		})
		w.MaxConnectionAge, w.CloseCode = 10*time.Hour, 4000
		if after, err := dies(openSocket(t, w, "")); err != io.EOF || after < 588*time.Minute || after > 10*time.Hour {
			t.Errorf("%v after %v", err, after)
		}
	})
}

func TestWebSocketExpire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.hear()
			p.say("going away", "x")
			p.wait()
		})
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			return s.Send(ctx, []byte("hi")) // so that nothing is read with the handshake, and all at once later
		}
		w.OnMessage = func(s *transport.Socket, m *transport.Message) error {
			if string(m.Data) == "going away" {
				s.Replace()
				m.Kind = decode.KindKeepalive
			}
			return nil
		}
		conn := openSocket(t, w, "")
		synctest.Wait()
		read(t, conn)
		if m := read(t, conn); string(m.Data) != "x" {
			t.Errorf("got %q", m.Data)
		}
		if _, err := dies(conn); err != io.EOF {
			t.Error(err)
		}
		conn.Close()

		w.Overlap = true
		conn = openSocket(t, w, "")
		called := make(chan bool, 1)
		read(t, conn)
		conn.OnExpiring(func() { called <- true })
		<-called
		if m := read(t, conn); string(m.Data) != "x" {
			t.Errorf("got %q", m.Data)
		}
	})
}

// A heartbeat that waits for SendRate is late, which is not the server's fault.
func TestWebSocketHeartbeatLimited(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			for !strings.HasPrefix(p.hear(), "error") {
				p.say("ack")
			}
		})
		w.SendRate = transport.Rate{N: 4, Per: 10 * time.Second}
		w.OnConnect = func(_ context.Context, s *transport.Socket, _ string) error {
			s.Heartbeat(transport.Heartbeat{Interval: time.Second, RequireAck: true, Message: func() []byte { return []byte("beat") }})
			return nil
		}
		w.OnMessage = func(s *transport.Socket, m *transport.Message) error {
			s.HeartbeatAcked()
			return nil
		}
		conn := openSocket(t, w, "")
		time.AfterFunc(time.Hour, func() { conn.Close() })
		if _, err := dies(conn); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

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
			feed: &transport.WebSocket{OnMessage: func(s *transport.Socket, _ *transport.Message) error {
				s.HeartbeatAcked()
				return nil
			}},
			hello: func(_ context.Context, s *transport.Socket, _ string) error {
				s.Heartbeat(transport.Heartbeat{Interval: 10 * time.Second, RequireAck: true, Message: func() []byte { return []byte("beat") }})
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
		"connect": {
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
					w.OnMessage = c.feed.OnMessage
					w.OnConnect = func(ctx context.Context, s *transport.Socket, token string) error {
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

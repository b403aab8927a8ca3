package transport_test

import (
	"bytes"
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
		t.Errorf("got a timeout of %q, want %q: %v", e.Op, op, e)
	}
}

func TestWebSocketHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) { time.Sleep(time.Hour) })
		conn := openSocket(t, w, "")
		after, err := dies(conn)
		isTimeout(t, err, "pong")
		if after != 20*time.Second+2*10*time.Second {
			t.Errorf("got an end after %v, want 40s", after)
		}
		time.Sleep(time.Hour)
	})
}

// Any byte shows that the peer is alive: a late pong, a wrong one, a byte of a message.
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
			synctest.Test(t, func(t *testing.T) {
				conn := openSocket(t, raw(t, serve), "")
				time.AfterFunc(time.Hour, func() { conn.Close() })
				if after, err := dies(conn); !errors.Is(err, net.ErrClosed) || after < time.Hour {
					t.Errorf("got %v after %v, want net.ErrClosed after 1h", err, after)
				}
				time.Sleep(time.Minute) // for the server to notice
			})
		})
	}
}

// A server that answers pings keeps the connection. It gets one per PingInterval, and none while
// it sends messages.
func TestWebSocketPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
			t.Errorf("got %d pings while messages arrived, want none", n)
		}
		const hours = 6
		time.Sleep(hours * time.Hour)
		if n, most := pings.Load(), int64(hours*3600/20); n > most || n < most-2 {
			t.Errorf("got %d pings, want about %d", n, most)
		}
	})
}

func TestWebSocketNoPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

// A connection that is not read cannot see pongs and stays open.
func TestWebSocketUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
			t.Errorf("got %q, want two", m.Data)
		}
		if conn.MaxPause != 10*time.Second {
			t.Errorf("MaxPause: got %v, want 10 s", conn.MaxPause)
		}
	})
}

func TestWebSocketIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
			t.Errorf("got an end after %v, want 310s", after)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the server announces its interval
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
			t.Errorf("got an end after %v, want 33s", after)
		}
	})
}

// A peer that accepts nothing more ends the connection, rather than blocking its reader.
func TestWebSocketStuckWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
			t.Errorf("got an end after %v, want 4s", after)
		}
		if err := <-failed; !errors.Is(err, transport.ErrNotConnected) {
			t.Errorf("Send: got %v, want %v", err, transport.ErrNotConnected)
		}
		time.Sleep(time.Hour)
	})
}

func TestWebSocketMaxConnectionAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			for {
				p.say("x")
				if _, _, err := p.Read(p.req.Context()); err != nil {
					if websocket.CloseStatus(err) != 4000 {
						t.Errorf("got %v, want close code 4000", err)
					}
					return
				}
			}
		})
		w.MaxConnectionAge, w.CloseCode = 10*time.Hour, 4000
		if after, err := dies(openSocket(t, w, "")); !errors.Is(err, io.EOF) || after < 588*time.Minute || after > 10*time.Hour {
			t.Errorf("got %v after %v, want io.EOF after 9.8h to 10h", err, after)
		}
	})
}

func TestWebSocketReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
			t.Errorf("got %q, want x", m.Data)
		}
		if _, err := dies(conn); !errors.Is(err, io.EOF) {
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
			t.Errorf("got %q, want x", m.Data)
		}
	})
}

// After a pause of the process, timers are overdue and bytes are unread. They are read before a
// timer ends the connection.
func TestWebSocketPause(t *testing.T) {
	late := func(at time.Duration) func(net.Conn) {
		return func(net.Conn) { time.Sleep(at) }
	}
	for op, c := range map[string]struct {
		feed    *transport.WebSocket
		hello   func(context.Context, *transport.Socket, string) error
		send    int
		stopped time.Duration
		answer  func(net.Conn) // returns late, but less late than the pause
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
				synctest.Test(t, func(t *testing.T) {
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
						t.Errorf("got %v, want the message of a live peer", err)
					case !alive:
						isTimeout(t, err, op)
					}
				})
			})
		}
	}
}

// The age is reached while the reader waits for its pong to be accepted.
func TestMaxConnectionAgeWhilePongIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			time.Sleep(time.Second) // a large message is being sent
			conn.Write(wsFrame(fin|opPing, "x"))
			time.Sleep(2 * time.Second) // accepts nothing
			io.Copy(io.Discard, conn)
		})
		w.MaxConnectionAge = 2 * time.Second
		w.PingInterval = -1
		start := time.Now()
		conn := openSocket(t, w, "")
		go w.Send(t.Context(), bytes.Repeat([]byte("x"), 100<<10))
		timer := time.AfterFunc(10*time.Minute, func() { conn.Close() })
		defer timer.Stop()
		readFrom(conn)
		if d := time.Since(start); d > time.Minute {
			t.Errorf("got an end after %v, want MaxConnectionAge (2s) and the pong", d)
		}
	})
}

func TestMaxConnectionAgeWithoutCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := make(chan int, 1)
		w := raw(t, func(conn net.Conn) { code <- sentClose(hangUp(conn)) })
		w.MaxConnectionAge, w.CloseCode = 5*time.Second, -1
		conn := openSocket(t, w, "")
		readFrom(conn)
		conn.Close()
		if c := <-code; c != 0 {
			t.Errorf("got close code %d, want no close frame", c)
		}
	})
}

func TestIdleTimeoutExcludesTimeBetweenReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			ctx := p.CloseRead(context.Background())
			for ctx.Err() == nil {
				p.say("x")
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
		w.IdleTimeout = 850 * time.Millisecond
		conn := openSocket(t, w, "")
		for range 500 {
			m, err := readFrom(conn)
			if err != nil {
				t.Fatalf("got %v after a wait of 0.1s, want a message", err)
			}
			_ = m
			time.Sleep(900 * time.Millisecond)
		}
	})
}

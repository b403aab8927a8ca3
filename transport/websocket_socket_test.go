package transport_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// With Overlap two connections are open at once, each with its own Value and Context.
func TestWebSocketValueAndContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say(p.hear())
			p.wait()
		})
		w.Overlap = true
		w.OnConnect = func(ctx context.Context, s *transport.Socket, token string) error {
			s.Value = token
			return s.Send(ctx, []byte("hello"))
		}
		ended := make(map[string]error)
		w.OnMessage = func(s *transport.Socket, m *transport.Message) error {
			name := s.Value.(string)
			m.ID = name
			context.AfterFunc(s.Context(), func() { ended[name] = context.Cause(s.Context()) })
			return nil
		}
		first, second := openSocket(t, w, "first"), openSocket(t, w, "second")
		for name, conn := range map[string]*transport.Session{"first": first, "second": second} {
			if m := read(t, conn); m.ID != name {
				t.Errorf("%s connection: got value %q, want %q", name, m.ID, name)
			}
		}
		first.Close()
		synctest.Wait()
		if len(ended) != 1 || !errors.Is(ended["first"], net.ErrClosed) {
			t.Errorf("after the first Close: got %v, want the end of the first", ended)
		}
		second.Close()
		synctest.Wait()
		if len(ended) != 2 {
			t.Errorf("after both Closes: got %v, want two ends", ended)
		}
	})
}

func TestHeartbeatWithoutTextNeedsNoAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			s.Heartbeat(transport.Heartbeat{Interval: 10 * time.Second, RequireAck: true, Message: func() []byte { return nil }})
			return nil
		}
		conn := openSocket(t, w, "")
		time.AfterFunc(2*time.Minute, func() { conn.Close() })
		start := time.Now()
		err := readError(t, conn)
		var timeout *transport.TimeoutError
		if errors.As(err, &timeout) {
			t.Errorf("got %v after %v, want the connection to stay open", err, time.Since(start))
		}
	})
}

func TestHeartbeatWithoutMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			s.Heartbeat(transport.Heartbeat{Interval: 10 * time.Second})
			return nil
		}
		conn := openSocket(t, w, "")
		time.AfterFunc(2*time.Minute, func() { conn.Close() })
		readFrom(conn)
	})
}

// A peer that accepts data slowly is not stuck.
func TestSendToSlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			buf := make([]byte, 4096)
			for {
				time.Sleep(100 * time.Millisecond)
				if _, err := conn.Read(buf); err != nil {
					return
				}
			}
		})
		w.PingInterval = -1
		conn := openSocket(t, w, "")
		go readFrom(conn)
		if err := w.Send(t.Context(), bytes.Repeat([]byte("x"), 1<<20)); err != nil {
			t.Errorf("got %v, want a send at 40 KiB/s to succeed", err)
		}
	})
}

func TestSendConcurrentlyToSlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			buf := make([]byte, 4096)
			for {
				time.Sleep(100 * time.Millisecond)
				if _, err := conn.Read(buf); err != nil {
					return
				}
			}
		})
		w.PingInterval = -1
		conn := openSocket(t, w, "")
		go readFrom(conn)
		var group sync.WaitGroup
		var failed atomic.Int32
		for range 120 {
			group.Go(func() {
				if err := w.Send(t.Context(), bytes.Repeat([]byte("x"), 4000)); err != nil {
					failed.Add(1)
				}
			})
		}
		group.Wait()
		if n := failed.Load(); n > 0 {
			t.Errorf("got %d failures of 120 messages, want none", n)
		}
	})
}

func TestSendReturnsCauseOfContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.SendRate = transport.Rate{N: 1, Per: time.Hour}
		openSocket(t, w, "")
		if err := w.Send(t.Context(), []byte("1")); err != nil {
			t.Fatal(err)
		}
		gone := errors.New("user left")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		if err := w.Send(ctx, []byte("2")); errors.Is(err, transport.ErrNotConnected) || !errors.Is(err, gone) {
			t.Errorf("got %v, want %v", err, gone)
		}
	})
}

func TestUnreadIsLimited(t *testing.T) {
	w := raw(t, func(conn net.Conn) {
		msg := bytes.Repeat(wsFrame(fin|opText, strings.Repeat("x", 60000)), 1)
		for {
			if _, err := conn.Write(msg); err != nil {
				return
			}
		}
	})
	const stop = 256 << 20
	total := 0
	w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
		for {
			m, err := s.Receive()
			if err != nil {
				return err
			}
			if total += len(m.Data); total > stop {
				return errors.New("limit not enforced")
			}
			s.Unread(m)
		}
	}
	w.Open(t.Context(), "")
	if total > stop {
		t.Errorf("Unread accepted %d MiB, want an error near MaxMessage", total>>20)
	}
}

func TestReplaceTakesEffectOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.say("bye", "bye", "bye"); p.wait() })
		w.Overlap = true
		w.OnMessage = func(s *transport.Socket, _ *transport.Message) error { s.Replace(); return nil }
		conn := openSocket(t, w, "")
		n := 0
		conn.OnExpiring(func() { n++ })
		for range 3 {
			read(t, conn)
		}
		if n != 1 {
			t.Errorf("got %d calls of replace, want 1", n)
		}
	})
}

func TestCloseFromHeartbeatReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		opened := make(chan *transport.Session, 1)
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			s.Heartbeat(transport.Heartbeat{Interval: time.Second, Message: func() []byte { (<-opened).Close(); return nil }})
			return nil
		}
		conn := openSocket(t, w, "")
		opened <- conn
		readFrom(conn)
		conn.Close()
	})
}

func TestWebSocketSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
			t.Errorf("got %q, %q, want a text, then a binary message", a, b)
		}
		want[*transport.MessageError](t, w.Send(t.Context(), []byte{0xff}))
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.Send(done, []byte("late")); !errors.Is(err, context.Canceled) {
			t.Errorf("Send: got %v, want %v", err, context.Canceled)
		}
		conn.Close()
		if err := w.Send(t.Context(), []byte("down")); !errors.Is(err, transport.ErrNotConnected) {
			t.Errorf("Send: got %v, want %v", err, transport.ErrNotConnected)
		}
	})
}

// After six hours of heartbeats, one is not acknowledged.
func TestWebSocketHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const beats = 6 * 60
		var at []time.Duration
		start := time.Now()
		w := sockets(t, func(p *peer) {
			for i := range beats {
				if got := p.hear(); got != "beat" {
					t.Errorf("got %q, want beat", got)
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
			t.Errorf("got %d beats, the first at %v, and the end at %v, want %d, the first within 1m, and the end 1m after the last", len(at), at[0], after, beats)
		}
		for i := 1; i < len(at); i++ {
			if at[i]-at[i-1] != time.Minute {
				t.Fatalf("beat %d came after %v, want 1m", i, at[i]-at[i-1])
			}
		}
	})
}

func TestWebSocketHeartbeatReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
			t.Errorf("got %q, want second first, and two or three messages", got)
		}
	})
}

// A heartbeat that waits for SendRate does not shorten the time for its acknowledgement.
func TestWebSocketHeartbeatLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

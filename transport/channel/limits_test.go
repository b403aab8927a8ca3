package channel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/channel"
)

// Channels that are not read do not keep the socket from being read, however many there are.
func TestManySlowChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const channels = 200
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) {
				switch {
				case a.Op != "sub":
				case a.Names[0] == "fast":
					for i := 1; ; i++ { // all channels have events, one after the other
						for c := range channels {
							for range 4 {
								p.say(word{Ch: fmt.Sprint(c), Data: json.RawMessage("1")})
							}
						}
						p.say(event("fast", i))
						if i == 10 {
							return
						}
					}
				}
			})
		})
		mux := newMux(srv)
		mux.Buffer, mux.Batch = 2, channels
		for i := range channels {
			conn, err := mux.Channel(fmt.Sprint(i)).Open(t.Context(), "") // and not read
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		start := time.Now()
		expect(t, "fast", next(t, subscribeTo(t, mux, "fast", nil), 10), "1 2 3 4 5 6 7 8 9 10")
		if took := time.Since(start); took > 1500*time.Millisecond {
			t.Errorf("the fast channel took %v, want at most 1.5s", took)
		}
		if s := mux.Stats(); s.Overflows != channels {
			t.Errorf("got %d overflows, want %d", s.Overflows, channels)
		}
	})
}

// A server may send more than a buffer of events before the acknowledgement.
func TestManyEventsBeforeAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events = 35
		srv := serve(t, func(n int, p *peer) {
			for a := p.read(); a.Op != ""; a = p.read() {
				if a.Op == "sub" {
					from := 0
					fmt.Sscan(a.After[0], &from)
					for i := from + 1; i <= events; i++ {
						p.say(event("a", i))
					}
				}
				p.say(word{Re: a.ID})
			}
		})
		mux := newMux(srv)
		mux.Buffer = 10
		var want []string
		for i := range events {
			want = append(want, fmt.Sprint(i+1))
		}
		expect(t, "a", next(t, subscribeTo(t, mux, "a", nil), events), strings.Join(want, " "))
	})
}

// A socket is read by the test.
type socket struct {
	messages chan string
	closed   chan struct{}
	once     sync.Once
	replace  func()
}

func newSocket() *socket { return &socket{messages: make(chan string), closed: make(chan struct{})} }

func (s *socket) Validate() error { return nil }

func (s *socket) Open(context.Context, string) (*transport.Session, error) {
	return &transport.Session{Conn: s, OnExpiring: func(replace func()) { s.replace = replace }}, nil
}

func (s *socket) Send(context.Context, []byte) error { return nil }

func (s *socket) Read(m *transport.Message) error {
	select {
	case text := <-s.messages:
		*m = transport.Message{Data: []byte(text)}
		return nil
	case <-s.closed:
		return io.EOF
	}
}

func (s *socket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *socket) mux() *channel.Mux {
	request := func(int64, []channel.Request) ([]byte, error) { return []byte("request"), nil }
	return &channel.Mux{Socket: s, NoAcks: true, Subscribe: request, Unsubscribe: request}
}

// A connection ends while a message waits for space. None is delivered after one that is lost, and the error
// shows that the connection was replaced.
func TestEndWhileFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSocket()
		mux, more := s.mux(), make(chan struct{})
		mux.Buffer = 1
		mux.OnMessage = func(r *channel.Router, m *transport.Message) error {
			for i, token := range []string{"1", "2", "3"} {
				if i == 2 {
					<-more
				}
				r.Deliver("a", transport.Message{Token: token, Data: []byte(token)})
			}
			return nil
		}
		conn, err := mux.Channel("a").Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s.messages <- "three events"
		synctest.Wait()
		s.replace()
		synctest.Wait()
		var m transport.Message
		if err := conn.Read(&m); err != nil || m.Token != "1" {
			t.Errorf("got %q, %v, want the first event", m.Token, err)
		}
		close(more)
		synctest.Wait()
		err = conn.Read(&m)
		replaced, ok := err.(interface{ Replaced() bool })
		if retry.Classify(err) != retry.Classify(io.EOF) || !ok || !replaced.Replaced() {
			t.Errorf("got %q, %v, want an error that reports a replacement", m.Token, err)
		}
	})
}

// What a server does not acknowledge, or acknowledges by name, does not stay in memory.
func TestChurnKeepsNothing(t *testing.T) {
	for _, noAcks := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			srv := serve(t, func(n int, p *peer) {
				for a := p.read(); a.Op != ""; a = p.read() {
					switch {
					case a.Op == "sub" && !noAcks:
						p.say(word{Ack: a.Names[0]})
					case a.Op == "unsub" && a.Names[0] != "mute":
						p.say(word{End: a.Names[0]})
					}
				}
			})
			mux := newMux(srv)
			mux.NoAcks = noAcks
			open := func(name string) *transport.Session {
				s, err := mux.Channel(name).Open(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			defer open("holder").Close()
			open("mute").Close()
			for i := range 500 {
				open(fmt.Sprint(i)).Close()
			}
			time.Sleep(time.Second)
			if requests, departures := mux.Retained(); requests > 2 || departures > 50 {
				t.Errorf("NoAcks %t: got %d requests and %d departures, want 2 and at most 50", noAcks, requests, departures)
			}
		})
	}
}

// A channel that is opened and removed again and again, and never answered.
func TestMuteChurnKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			for a := p.read(); a.Op != ""; a = p.read() {
				if a.Names[0] == "holder" {
					p.say(word{Ack: "holder"})
				}
			}
		})
		mux := newMux(srv)
		holder, err := mux.Channel("holder").Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Close()
		for range 100 {
			if s, err := mux.Channel("mute").Open(t.Context(), ""); err == nil {
				s.Close()
				t.Fatal("got no error")
			}
		}
		if requests, departures := mux.Retained(); requests > 2 || departures > 50 {
			t.Errorf("got %d requests and %d departures, want 2 and at most 50", requests, departures)
		}
	})
}

// Functions and errors of the program may call Stats.
func TestStatsFromCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mux *channel.Mux
		srv := serve(t, func(n int, p *peer) {
			if n == 1 {
				return
			}
			a := p.read()
			p.say(word{Re: a.ID, Error: "nosy"})
			p.obey(func(a ask) { p.say(event(a.Names[0], 1)) })
		})
		mux = newMux(srv)
		mux.Batch = 2
		called := false
		mux.Retry.Classify = func(error, int) (retry.Class, bool) {
			called = true
			mux.Stats()
			return 0, false
		}
		onMessage := mux.OnMessage
		mux.OnMessage = func(r *channel.Router, m *transport.Message) error {
			if strings.Contains(string(m.Data), "nosy") {
				r.Reply(2-1, &nosy{mux})
				return nil
			}
			return onMessage(r, m)
		}
		a, b := subscribeTo(t, mux, "a", nil), subscribeTo(t, mux, "b", nil)
		expect(t, "a", next(t, a, 1), "1")
		expect(t, "b", next(t, b, 1), "1")
		if !called {
			t.Error("Classify was not called")
		}
	})
}

// nosy is an error whose methods call Stats.
type nosy struct{ mux *channel.Mux }

func (e *nosy) Error() string   { e.mux.Stats(); return "nosy" }
func (e *nosy) Retryable() bool { e.mux.Stats(); return true }

// A function that calls runtime.Goexit, such as by t.Fatal, ends the connection. The next one works.
func TestGoexit(t *testing.T) {
	for _, in := range []string{"Subscribe", "Unsubscribe", "OnMessage", "Classify"} {
		synctest.Test(t, func(t *testing.T) {
			srv := serve(t, func(n int, p *peer) {
				if in != "Classify" || n > 1 {
					p.obey(func(a ask) { p.say(event(a.Names[0], n)) })
				}
			})
			mux := newMux(srv)
			exited := false
			exit := func(where string) {
				if where == in && !exited {
					exited = true
					runtime.Goexit()
				}
			}
			mux.Subscribe = func(id int64, channels []channel.Request) ([]byte, error) {
				exit("Subscribe")
				return subscribe(id, channels)
			}
			mux.Unsubscribe = func(id int64, channels []channel.Request) ([]byte, error) {
				exit("Unsubscribe")
				return unsubscribe(id, channels)
			}
			mux.OnMessage = func(r *channel.Router, m *transport.Message) error {
				exit("OnMessage")
				return onMessage(r, m)
			}
			mux.Retry.Classify = func(error, int) (retry.Class, bool) {
				exit("Classify")
				return 0, false
			}
			a := subscribeTo(t, mux, "a", nil)
			if in == "Unsubscribe" {
				next(t, a, 1)
				b := subscribeTo(t, mux, "b", nil)
				next(t, b, 1)
				b.Close()
			}
			next(t, a, 1)
			if s := mux.Stats(); !exited || s.Attempts != 2 {
				t.Errorf("%s: got %+v, want 2 attempts", in, s)
			}
		})
	}
}

package channel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/channel"
)

// subscribeTo subscribes to a channel until the end of the test.
func subscribeTo(t testing.TB, mux *channel.Mux, name string, opts *client.Options) *client.Subscription {
	t.Helper()
	sub, err := client.Subscribe(context.Background(), mux.Channel(name), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Close() })
	return sub
}

// next returns the data of the next n events, with a "!" before one that has a Gap.
func next(t testing.TB, sub *client.Subscription, n int) string {
	t.Helper()
	var all []string
	for range n {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		ev, err := sub.Next(ctx)
		cancel()
		if err != nil {
			return strings.Join(append(all, err.Error()), " ")
		}
		ev.Ack()
		text := string(ev.Data)
		if ev.Gap != nil {
			text = "!" + text
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// A journal is a list that several goroutines write.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// keep keeps the first errors.
func keep(ends chan error, err error) {
	select {
	case ends <- err:
	default:
	}
}

func expect(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// Many channels share one connection and one message, and after a loss they share the next one. Each
// resumes after its last event.
func TestChannelsShareOneSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const channels = 50
		var mu sync.Mutex
		var asks []ask
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) {
				mu.Lock()
				asks = append(asks, a)
				mu.Unlock()
				for i, name := range a.Names {
					from := 0
					fmt.Sscan(a.After[i], &from)
					p.say(event(name, from+1), event(name, from+2))
				}
				if n == 1 && len(asks) == 1 {
					time.Sleep(10 * time.Second)
					p.ws.CloseNow()
				}
			})
		})
		mux := newMux(srv)
		mux.Batch = 100
		var subs []*client.Subscription
		for i := range channels {
			subs = append(subs, subscribeTo(t, mux, fmt.Sprint("c", i), nil))
		}
		for i, sub := range subs {
			expect(t, fmt.Sprint("channel ", i), next(t, sub, 4), "1 2 3 4")
		}
		mu.Lock()
		defer mu.Unlock()
		if s := mux.Stats(); s.Attempts != 2 || s.Connections != 2 || s.Channels != channels || s.Unrouted != 0 {
			t.Errorf("got %+v, want 2 attempts, 2 connections, %d channels", s, channels)
		}
		if len(asks[0].Names) != channels || asks[0].Op != "sub" {
			t.Errorf("first message: got %d channels, want %d", len(asks[0].Names), channels)
		}
		if messages := len(asks) - 1; messages > channels*4/5 { // on average, half as many
			t.Errorf("after the loss: got %d messages for %d channels, want fewer", messages, channels)
		}
	})
}

// A refused channel fails alone: with a batch, only those that the server refuses when they are asked for alone.
func TestRefusedChannelFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		srv := serve(t, func(n int, p *peer) {
			for a := p.read(); a.Op != ""; a = p.read() {
				requests.Add(1)
				if slices.Contains(a.Names, "bad1") || slices.Contains(a.Names, "bad2") {
					p.say(word{Re: a.ID, Error: errFinal.text})
					continue
				}
				p.say(word{Re: a.ID})
				for _, name := range a.Names {
					p.say(event(name, 1))
				}
			}
		})
		mux := newMux(srv)
		mux.Batch = 100
		subs := make(map[string]*client.Subscription)
		for i := range 30 {
			name := fmt.Sprint("good", i)
			if i == 7 || i == 20 {
				name = fmt.Sprint("bad", 1+i/20)
			}
			subs[name] = subscribeTo(t, mux, name, nil)
		}
		for name, sub := range subs {
			if strings.HasPrefix(name, "good") {
				expect(t, name, next(t, sub, 1), "1")
				continue
			}
			_, err := sub.Next(t.Context())
			var stop *client.StopError
			var failed *channel.Error
			if !errors.As(err, &stop) || !errors.As(err, &failed) || failed.Op != "refused" || failed.Channel != name || !errors.Is(err, errFinal) {
				t.Errorf("%s: got %v, want a StopError with the refusal", name, err)
			}
			if strings.Contains(err.Error(), name) {
				t.Errorf("the text %q contains the name of the channel", err)
			}
		}
		if requests.Load() > 25 {
			t.Errorf("got %d requests for 2 bad channels of 30, want at most 25", requests.Load())
		}
		if s := mux.Stats(); s.Connections != 1 {
			t.Errorf("got %d connections, want 1", s.Connections)
		}
	})
}

// A server may subscribe to some channels of a message that it refuses. What it sends before it
// acknowledges them is incomplete, so it is a Gap.
func TestPartlyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			for a := p.read(); a.Op != ""; a = p.read() {
				switch {
				case len(a.Names) > 1:
					p.say(event("good", 1), word{Re: a.ID, Error: errFinal.text}, event("good", 2))
				case a.Names[0] == "bad":
					p.say(word{Re: a.ID, Error: errFinal.text})
				default:
					p.say(event("good", 3), word{Re: a.ID}, event("good", 4))
				}
			}
		})
		mux := newMux(srv)
		mux.Batch = 2
		good := subscribeTo(t, mux, "good", nil)
		subscribeTo(t, mux, "bad", nil)
		expect(t, "good", next(t, good, 1), "!4")
	})
}

// The same, if all that is incomplete has arrived before the refusal.
func TestPartlyRefusedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			for a := p.read(); a.Op != ""; a = p.read() {
				switch {
				case len(a.Names) > 1:
					p.say(event("good", 1), word{Re: a.ID, Error: errFinal.text})
				case a.Names[0] == "bad":
					p.say(word{Re: a.ID, Error: errFinal.text})
				default:
					p.say(word{Re: a.ID}, event("good", 2))
				}
			}
		})
		mux := newMux(srv)
		mux.Batch = 2
		good := subscribeTo(t, mux, "good", nil)
		subscribeTo(t, mux, "bad", nil)
		expect(t, "good", next(t, good, 1), "!2")
	})
}

// A server that limits the rate is not asked again at once, in halves.
func TestRateLimitIsNotHalved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		srv := serve(t, func(n int, p *peer) {
			for a := p.read(); a.Op != ""; a = p.read() {
				if requests.Add(1) == 1 {
					p.say(word{Re: a.ID, Error: errTooMany.text})
					continue
				}
				p.say(word{Re: a.ID})
			}
		})
		mux := newMux(srv)
		mux.Batch = 10
		a, b := subscribeTo(t, mux, "a", nil), subscribeTo(t, mux, "b", nil)
		time.Sleep(time.Second)
		if requests.Load() != 1 {
			t.Errorf("got %d requests in the first second, want 1", requests.Load())
		}
		for _, sub := range []*client.Subscription{a, b} {
			if err := sub.WaitConnected(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// A channel that is never acknowledged fails alone, is ended, and is asked for again.
func TestAckTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asks journal
		srv := serve(t, func(n int, p *peer) {
			for a := p.read(); a.Op != ""; a = p.read() {
				asks.add(a.Op + " " + a.Names[0])
				if a.Names[0] == "mute" && len(asks.all()) < 6 {
					continue
				}
				p.say(word{Re: a.ID}, event(a.Names[0], 1))
			}
		})
		mux := newMux(srv)
		ends := make(chan error, 10)
		good := subscribeTo(t, mux, "good", nil)
		expect(t, "good", next(t, good, 1), "1")
		start := time.Now()
		mute := subscribeTo(t, mux, "mute", &client.Options{Trace: &client.Trace{Disconnected: func(d client.DisconnectInfo) { keep(ends, d.Err) }}})
		var failed *channel.Error
		if err := <-ends; !errors.As(err, &failed) || failed.Op != "ack" || !failed.Timeout() || retry.Classify(err) != retry.ClassNetwork {
			t.Errorf("got %v, want a missing ack that is retried", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("gave up after %v, want 10s", took)
		}
		expect(t, "mute", next(t, mute, 1), "1")
		if want := []string{"sub good", "sub mute", "unsub mute", "sub mute", "unsub mute", "sub mute"}; !slices.Equal(asks.all(), want) {
			t.Errorf("got %q, want %q", asks.all(), want)
		}
		if s := mux.Stats(); s.Connections != 1 {
			t.Errorf("got %d connections, want 1", s.Connections)
		}
	})
}

// The time for the acknowledgement starts when the request is sent: SendRate may delay it.
func TestAckTimeoutStartsWhenSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var times []time.Duration
		start := time.Now()
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) {
				mu.Lock()
				defer mu.Unlock()
				times = append(times, time.Since(start))
				p.say(event(a.Names[0], 1))
			})
		})
		mux := newMux(srv)
		mux.Socket.(*transport.WebSocket).SendRate = transport.Rate{N: 5, Per: time.Second}
		var ends atomic.Int32
		opts := &client.Options{Trace: &client.Trace{Disconnected: func(client.DisconnectInfo) { ends.Add(1) }}}
		var subs []*client.Subscription
		for i := range 80 {
			subs = append(subs, subscribeTo(t, mux, fmt.Sprint(i), opts))
		}
		for _, sub := range subs {
			expect(t, "event", next(t, sub, 1), "1")
		}
		mu.Lock()
		defer mu.Unlock()
		if ends.Load() != 0 || len(times) != 80 || times[79] < 15*time.Second {
			t.Errorf("got %d failures and %d requests until %v, want none, 80 and more than 15s", ends.Load(), len(times), times[len(times)-1])
		}
		for i := 5; i < len(times); i++ {
			if d := times[i] - times[i-5]; d < time.Second {
				t.Fatalf("requests %d to %d were sent within %v, want at most 5 in a second", i-5, i, d)
			}
		}
	})
}

// Events before the acknowledgement are delivered, in order.
func TestDataBeforeAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			a := p.read()
			p.say(event("a", 1), event("a", 2))
			time.Sleep(time.Second)
			p.say(word{Ack: "a"}, event("a", 3), word{Ack: "a"}, word{Re: a.ID}, event("a", 4))
			p.read()
		})
		expect(t, "events", next(t, subscribeTo(t, newMux(srv), "a", nil), 4), "1 2 3 4")
	})
}

// A channel is open once at a time.
func TestDuplicateName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) {
				if a.Op == "sub" {
					p.say(event(a.Names[0], 1))
				}
			})
		})
		mux := newMux(srv)
		first := subscribeTo(t, mux, "a", nil)
		expect(t, "first", next(t, first, 1), "1")
		second := subscribeTo(t, mux, "a", nil)
		var failed *channel.Error
		if _, err := second.Next(t.Context()); !errors.As(err, &failed) || failed.Op != "duplicate" || retry.Classify(err) != retry.ClassPermanent {
			t.Errorf("second: got %v, want a final Error", err)
		}
		first.Close()
		expect(t, "third", next(t, subscribeTo(t, mux, "a", nil), 1), "1")
	})
}

// One more channel than MaxChannels waits until another one is removed.
func TestMaxChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) { p.say(event(a.Names[0], 1)) })
		})
		mux := newMux(srv)
		mux.MaxChannels = 2
		a, b := subscribeTo(t, mux, "a", nil), subscribeTo(t, mux, "b", nil)
		expect(t, "a", next(t, a, 1), "1")
		expect(t, "b", next(t, b, 1), "1")
		ends := make(chan error, 100)
		c := subscribeTo(t, mux, "c", &client.Options{Trace: &client.Trace{Disconnected: func(d client.DisconnectInfo) { keep(ends, d.Err) }}})
		var failed *channel.Error
		if err := <-ends; !errors.As(err, &failed) || failed.Op != "limit" {
			t.Errorf("got %v, want the limit", err)
		}
		b.Close()
		expect(t, "c", next(t, c, 1), "1")
	})
}

// What is not for an open channel is counted and has no other effect.
func TestUnrouted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			a := p.read()
			p.say(event("unknown", 1), word{Ack: "unknown"}, word{End: "unknown"}, word{Re: 77}, word{Re: 78, Error: "no"},
				word{Re: a.ID}, event("a", 1))
			p.read()
		})
		mux := newMux(srv)
		expect(t, "a", next(t, subscribeTo(t, mux, "a", nil), 1), "1")
		if s := mux.Stats(); s.Unrouted != 1 || s.Connections != 1 {
			t.Errorf("got %+v, want 1 unrouted message and 1 connection", s)
		}
	})
}

// The server ends a channel, which is subscribed to again from its position; another one is ended
// permanently; one is complete; a fourth does not notice.
func TestServerEndsChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) {
				name := a.Names[0]
				if a.Op != "sub" && (name == "final" || name == "complete") {
					t.Errorf("got %s of %s, want no request to end what the server has ended", a.Op, name)
				}
				if a.Op != "sub" {
					return
				}
				from := 0
				fmt.Sscan(a.After[0], &from)
				p.say(event(name, from+1))
				switch {
				case name == "again" && from == 0:
					p.say(word{End: name})
				case name == "final":
					p.say(word{End: name, Error: errFinal.text})
				case name == "complete":
					p.say(word{End: name, Error: "complete"})
				}
			})
		})
		mux := newMux(srv)
		mux.Socket.(*transport.WebSocket).PingInterval = -1
		calm := subscribeTo(t, mux, "calm", nil)
		expect(t, "calm", next(t, calm, 1), "1")
		expect(t, "again", next(t, subscribeTo(t, mux, "again", nil), 2), "1 2")
		expect(t, "final", next(t, subscribeTo(t, mux, "final", nil), 2), "1 client: stopped: channel: ended: no such channel")
		expect(t, "complete", next(t, subscribeTo(t, mux, "complete", nil), 2), "1 EOF")
		if s := mux.Stats(); s.Connections != 1 {
			t.Errorf("got %d connections, want 1", s.Connections)
		}
	})
}

// A removed channel is ended at the server. A channel of the name is subscribed to only after the
// server has acknowledged that, so that events in flight are not taken for those of the new one.
func TestRemovedAndAddedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asks journal
		srv := serve(t, func(n int, p *peer) {
			for a := p.read(); a.Op != ""; a = p.read() {
				asks.add(a.Op + " " + a.Names[0])
				if a.Op == "unsub" {
					p.say(event("a", 2), event("a", 3)) // in flight
					time.Sleep(3 * time.Second)
					p.say(event("a", 4), word{Re: a.ID})
					continue
				}
				from := 0
				fmt.Sscan(a.After[0], &from)
				p.say(word{Re: a.ID}, event(a.Names[0], from+1))
			}
		})
		mux := newMux(srv)
		expect(t, "other", next(t, subscribeTo(t, mux, "other", nil), 1), "1")
		a := subscribeTo(t, mux, "a", nil)
		expect(t, "first", next(t, a, 1), "1")
		a.Close()
		expect(t, "second", next(t, subscribeTo(t, mux, "a", &client.Options{StartAfter: "1"}), 1), "2")
		if want := []string{"sub other", "sub a", "unsub a", "sub a"}; !slices.Equal(asks.all(), want) {
			t.Errorf("got %q, want %q", asks.all(), want)
		}
		if s := mux.Stats(); s.Unrouted != 0 || s.Connections != 1 {
			t.Errorf("got %+v, want no unrouted messages and 1 connection", s)
		}
	})
}

// If the server does not acknowledge the end, the channel is subscribed to after AckTimeout, and
// what arrives before its acknowledgement is a Gap: it may be out of order.
func TestUnacknowledgedEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		subs := 0
		srv := serve(t, func(n int, p *peer) {
			for a := p.read(); a.Op != ""; a = p.read() {
				if a.Op == "unsub" {
					continue
				}
				if a.Names[0] == "a" {
					if subs++; subs == 2 {
						p.say(event("a", 7))
						time.Sleep(time.Second)
					}
				}
				p.say(word{Re: a.ID}, event(a.Names[0], subs))
			}
		})
		mux := newMux(srv)
		next(t, subscribeTo(t, mux, "other", nil), 1)
		a := subscribeTo(t, mux, "a", nil)
		expect(t, "first", next(t, a, 1), "1")
		a.Close()
		start := time.Now()
		expect(t, "second", next(t, subscribeTo(t, mux, "a", nil), 1), "!2")
		if took := time.Since(start); took != 11*time.Second {
			t.Errorf("the second channel took %v, want 11s", took)
		}
	})
}

// An acknowledgement that arrives after its channel was removed has no effect.
func TestAckOfRemovedChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			var first ask
			for a := p.read(); a.Op != ""; a = p.read() {
				switch {
				case a.Names[0] == "other":
					p.say(word{Re: a.ID}, event("other", 1))
				case a.Op == "unsub":
					p.say(word{Re: first.ID}, word{Ack: "a"}, event("a", 1), word{Re: a.ID})
				case first.ID == 0:
					first = a
				default:
					p.say(word{Re: first.ID, Error: "late"}, event("a", 2))
					time.Sleep(time.Second)
					p.say(word{Re: a.ID})
				}
			}
		})
		mux := newMux(srv)
		next(t, subscribeTo(t, mux, "other", nil), 1)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := mux.Channel("a").Open(ctx, ""); err != context.Canceled {
			t.Errorf("Open: got %v, want %v", err, context.Canceled)
		}
		start := time.Now()
		expect(t, "second", next(t, subscribeTo(t, mux, "a", nil), 1), "2")
		if took := time.Since(start); took != time.Second {
			t.Errorf("the second channel took %v, want 1s", took)
		}
	})
}

// A channel that is not read is ended alone and resumes where it was. Without a position, that is a Gap. Others
// wait a moment at most.
func TestSlowChannel(t *testing.T) {
	for _, positions := range []bool{true, false} {
		t.Run(fmt.Sprint("positions ", positions), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const events = 3000
				srv := serve(t, func(n int, p *peer) {
					p.obey(func(a ask) {
						if a.Op != "sub" {
							return
						}
						from := 0
						fmt.Sscan(a.After[0], &from)
						for i := from + 1; i <= events; i++ {
							w := event(a.Names[0], i)
							if !positions {
								w.N = ""
							}
							p.say(w)
						}
					})
				})
				mux := newMux(srv)
				mux.Buffer = 100
				var ends journal
				slow := subscribeTo(t, mux, "slow", &client.Options{Buffer: 10, Trace: &client.Trace{Disconnected: func(d client.DisconnectInfo) {
					var failed *channel.Error
					if errors.As(d.Err, &failed) {
						ends.add(failed.Op)
					}
				}}})
				first := next(t, slow, 1)
				time.Sleep(time.Minute)
				start := time.Now()
				fast := subscribeTo(t, mux, "fast", nil)
				if got := next(t, fast, events); strings.Contains(got, "!") || !strings.HasSuffix(got, " 3000") {
					t.Errorf("fast: got a gap or %q, want all events", got[len(got)-20:])
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("the fast channel took %v, want at most 1s", took)
				}
				got := first + " " + next(t, slow, 300)
				if gap := strings.Contains(got, "!"); gap == positions {
					t.Errorf("slow: got a gap %t with positions %t: %s", gap, positions, got)
				}
				if want := "1 2 3 4 5 6 7"; !strings.HasPrefix(got, want) || len(ends.all()) == 0 || len(ends.all()) != int(mux.Stats().Overflows) {
					t.Errorf("slow: got %q and ends %v, want %q and overflows", got[:20], ends.all(), want)
				}
				if positions {
					for i, field := range strings.Fields(got) {
						expect(t, "slow", field, fmt.Sprint(i+1))
					}
				}
				if s := mux.Stats(); s.Connections != 1 {
					t.Errorf("got %d connections, want 1", s.Connections)
				}
			})
		})
	}
}

// A burst that is larger than the buffer is not an overflow if the channel is read.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) {
				for i := range 5000 {
					p.say(event("a", i))
				}
			})
		})
		mux := newMux(srv)
		mux.Buffer = 10
		sub := subscribeTo(t, mux, "a", nil)
		if got := next(t, sub, 5000); !strings.HasSuffix(got, " 4999") {
			t.Errorf("got %q at the end", got[len(got)-10:])
		}
		if s := mux.Stats(); s.Overflows != 0 {
			t.Errorf("got %d overflows, want none", s.Overflows)
		}
	})
}

// A server that fails is asked at the rate of one subscription, however many channels there are. A
// Retry-After applies to all of them.
func TestOneSchedule(t *testing.T) {
	attempts := func(t *testing.T, channels int, header http.Header) (n int) {
		synctest.Test(t, func(t *testing.T) {
			srv := mock.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for name, v := range header {
					w.Header()[name] = v
				}
				w.WriteHeader(http.StatusServiceUnavailable)
			}))
			defer srv.Close()
			mux := newMux(srv)
			var subs []*client.Subscription
			for i := range channels {
				sub, err := client.Subscribe(t.Context(), mux.Channel(fmt.Sprint(i)), nil)
				if err != nil {
					t.Fatal(err)
				}
				subs = append(subs, sub)
			}
			time.Sleep(time.Hour)
			n = int(mux.Stats().Attempts)
			for _, sub := range subs {
				sub.Close()
			}
		})
		return n
	}
	if one, many := attempts(t, 1, nil), attempts(t, 200, nil); many > one*5/4+5 || one < 50 {
		t.Errorf("got %d attempts in an hour with 200 channels, want about %d as with one", many, one)
	}
	if got := attempts(t, 50, http.Header{"Retry-After": {"600"}}); got < 5 || got > 7 {
		t.Errorf("Retry-After 600: got %d attempts in an hour, want 6", got)
	}
}

// Connections that are refused to each channel do not add up either: the last channel that is refused
// closes the connection, and the next one that comes opens it.
func TestOneScheduleOfRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			for a := p.read(); a.Op != ""; a = p.read() {
				p.say(word{Re: a.ID, Error: errBusy.text})
			}
		})
		mux := newMux(srv)
		for i := range 50 {
			subscribeTo(t, mux, fmt.Sprint(i), nil)
		}
		time.Sleep(time.Hour)
		if n := mux.Stats().Attempts; n > 400 { // 50 channels ask about 8000 times
			t.Errorf("got %d attempts in an hour, want at most 400", n)
		}
	})
}

// An error of the connection ends all channels; each continues after its last event.
func TestConnectionError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) {
				if a.Op != "sub" {
					return
				}
				from := 0
				fmt.Sscan(a.After[0], &from)
				p.say(event(a.Names[0], from+1))
				if n == 1 && a.Names[0] == "b" {
					p.say(word{Broken: "maintenance"})
				}
			})
		})
		mux := newMux(srv)
		a := subscribeTo(t, mux, "a", nil)
		expect(t, "a", next(t, a, 1), "1")
		b := subscribeTo(t, mux, "b", nil)
		expect(t, "b", next(t, b, 2), "1 2")
		expect(t, "a", next(t, a, 1), "2")
		if s := mux.Stats(); s.Connections != 2 {
			t.Errorf("got %d connections, want 2", s.Connections)
		}
	})
}

// A loss that concerns the connection is a Gap of each channel.
func TestGapOfConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) {
				p.say(event(a.Names[0], 1))
				if a.Names[0] == "b" {
					p.ws.Write(p.ctx, 1, []byte(`{"Op":"lost"}`))
					p.say(event("a", 2), event("b", 2))
				}
			})
		})
		mux := newMux(srv)
		mux.Socket.(*transport.WebSocket).OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			if strings.Contains(string(m.Data), "lost") {
				m.Kind, m.Gap = decode.KindKeepalive, &transport.Gap{Reason: transport.GapNotice}
			}
			return nil
		}
		a := subscribeTo(t, mux, "a", nil)
		expect(t, "a", next(t, a, 1), "1")
		expect(t, "b", next(t, subscribeTo(t, mux, "b", nil), 2), "1 !2")
		expect(t, "a", next(t, a, 1), "!2")
	})
}

// Prepare is called on each attempt of a channel and may fail it alone.
func TestPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) {
				p.say(event(a.Names[0], n))
				if n < 3 && a.Names[0] == "a" {
					time.Sleep(10 * time.Second)
					p.ws.CloseNow()
				}
			})
		})
		mux := newMux(srv)
		var mu sync.Mutex
		calls := make(map[string]int)
		var values journal
		mux.Prepare = func(ctx context.Context, r *channel.Request) error {
			mu.Lock()
			defer mu.Unlock()
			calls[r.Name]++
			r.Value = fmt.Sprint("secret ", calls[r.Name])
			switch r.Name {
			case "denied":
				return errFinal
			case "hangs":
				mu.Unlock()
				<-ctx.Done()
				mu.Lock()
			}
			return nil
		}
		mux.Subscribe = func(id int64, channels []channel.Request) ([]byte, error) {
			if channels[0].Name == "a" {
				values.add(channels[0].Value.(string))
			}
			return subscribe(id, channels)
		}
		a := subscribeTo(t, mux, "a", nil)
		if err := a.WaitConnected(t.Context()); err != nil { // otherwise denied may have a socket of its own
			t.Fatal(err)
		}
		denied := subscribeTo(t, mux, "denied", nil)
		ends := make(chan error, 10)
		subscribeTo(t, mux, "hangs", &client.Options{Trace: &client.Trace{Disconnected: func(d client.DisconnectInfo) { keep(ends, d.Err) }}})
		expect(t, "a", next(t, a, 3), "1 2 3")
		var failed *channel.Error
		if _, err := denied.Next(t.Context()); !errors.As(err, &failed) || failed.Op != "prepare" {
			t.Errorf("denied: got %v, want a StopError", err)
		}
		failed = nil
		for !errors.As(<-ends, &failed) { // the socket may be lost before
		}
		if failed.Op != "prepare" || failed.After != 10*time.Second {
			t.Errorf("hangs: got %v, want a failure after 10s", failed)
		}
		if want := []string{"secret 1", "secret 2", "secret 3"}; !slices.Equal(values.all(), want) {
			t.Errorf("got the values %v, want %v", values.all(), want)
		}
	})
}

// An error of Subscribe refuses a channel alone.
func TestSubscribeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) {
				for _, name := range a.Names {
					p.say(event(name, 1))
				}
			})
		})
		mux := newMux(srv)
		mux.Batch = 10
		mux.Subscribe = func(id int64, channels []channel.Request) ([]byte, error) {
			for _, c := range channels {
				if c.Name == "bad" {
					return nil, errFinal
				}
			}
			return subscribe(id, channels)
		}
		bad, good := subscribeTo(t, mux, "bad", nil), subscribeTo(t, mux, "good", nil)
		expect(t, "good", next(t, good, 1), "1")
		expect(t, "bad", next(t, bad, 1), "client: stopped: channel: subscribe: no such channel")
	})
}

// Without acknowledgements, a channel is found by the id of its request, so that one of the same
// name can follow at once.
func TestNoAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			var old int64
			for a := p.read(); a.Op != ""; a = p.read() {
				switch {
				case a.Op == "unsub":
					p.say(word{Re: -old, Data: []byte("2")}) // in flight
				case old == 0:
					old = a.ID
					p.say(word{Re: -a.ID, Data: []byte("1")})
				default:
					p.say(word{Re: -old, Data: []byte("3")}, word{Re: -a.ID, Data: []byte("4")}, word{Re: a.ID, Error: errFinal.text})
				}
			}
		})
		mux := newMux(srv)
		mux.NoAcks = true
		mux.OnMessage = func(r *channel.Router, m *transport.Message) error {
			w, err := decode.JSON[word](m.Data)
			if w.Re < 0 {
				r.Deliver(r.NameOf(-w.Re), transport.Message{Data: w.Data})
			} else {
				r.End(r.NameOf(w.Re), errorOf(w.Error))
			}
			return err
		}
		other, err := mux.Channel("other").Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		first := subscribeTo(t, mux, "a", nil)
		time.Sleep(time.Second)
		first.Close()
		start := time.Now()
		expect(t, "second", next(t, subscribeTo(t, mux, "a", nil), 2), "4 client: stopped: channel: ended: no such channel")
		if took := time.Since(start); took != 0 {
			t.Errorf("the second channel took %v, want no wait", took)
		}
	})
}

func TestValidate(t *testing.T) {
	mux := &channel.Mux{Socket: &transport.WebSocket{}, Batch: -1, MaxChannels: -2, Buffer: -3}
	mux.Retry.Base = -1
	err := mux.Channel("").Validate()
	want := `WebSocket.URL: want wss://host/path or ws://host/path
Mux.Subscribe: is required
Mux.Unsubscribe: is required
Mux.OnMessage: is required
Mux.Batch: -1 is negative
Mux.MaxChannels: -2 is negative
Mux.Buffer: -3 is negative
Mux.Retry.Base: -1ns is negative
Mux.Channel: the name is empty`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := (&channel.Mux{NoAcks: true, Batch: 2}).Channel("a").Validate(); err == nil || !strings.Contains(err.Error(), "Mux.Batch: 2 with NoAcks") || !strings.Contains(err.Error(), "Mux.Socket: is required") {
		t.Errorf("got %v, want NoAcks with Batch refused", err)
	}
	if _, err := client.Subscribe(t.Context(), mux.Channel("a"), nil); err == nil {
		t.Error("Subscribe: got no error, want one")
	}
}

// The end of the connection with code 1000 ends all channels if the feed is declared complete there.
func TestSocketComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			a := p.read()
			p.say(word{Re: a.ID}, event("a", 1))
			p.ws.Close(1000, "")
		})
		mux := newMux(srv)
		mux.Socket.(*transport.WebSocket).End = transport.EndFeed
		sub := subscribeTo(t, mux, "a", nil)
		expect(t, "a", next(t, sub, 2), "1 "+io.EOF.Error())
	})
}

// A channel's context may end at any time. No goroutine is left, others continue, and the name can be used
// again.
func TestCancelAnywhere(t *testing.T) {
	for after := time.Duration(0); after < 400*time.Millisecond; after += 5 * time.Millisecond {
		for _, alone := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				srv := serve(t, func(n int, p *peer) {
					time.Sleep(20 * time.Millisecond)
					for a := p.read(); a.Op != ""; a = p.read() {
						time.Sleep(30 * time.Millisecond)
						if a.Op == "unsub" {
							p.say(event(a.Names[0], 6), word{Re: a.ID})
							continue
						}
						for _, name := range a.Names {
							p.say(event(name, 1))
						}
						time.Sleep(30 * time.Millisecond)
						p.say(word{Re: a.ID})
						for i := range 5 {
							time.Sleep(10 * time.Millisecond)
							p.say(event(a.Names[0], i+2))
						}
					}
				})
				srv.Latency = 7 * time.Millisecond
				mux := newMux(srv)
				mux.Batch = 2
				if !alone {
					other := subscribeTo(t, mux, "other", nil)
					defer func() { expect(t, "other", next(t, other, 1), "1") }()
				}
				ctx, cancel := context.WithTimeoutCause(t.Context(), after+1, errBusy)
				defer cancel()
				sub, err := client.Subscribe(ctx, mux.Channel("a"), nil)
				if err == nil {
					_, err = sub.Next(context.Background())
					for err == nil {
						_, err = sub.Next(context.Background())
					}
					sub.Close()
				}
				if !errors.Is(err, errBusy) {
					t.Errorf("after %v: got %v, want the cause", after, err)
				}
				expect(t, fmt.Sprint("again after ", after, " alone ", alone), next(t, subscribeTo(t, mux, "a", nil), 1), "1")
			})
		}
	}
}

// The functions of a Mux are called by one goroutine each, while channels come and go from many.
func TestChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := serve(t, func(n int, p *peer) {
			p.obey(func(a ask) {
				if a.Op == "sub" {
					for _, name := range a.Names {
						p.say(event(name, 1), event(name, 2))
					}
				}
			})
		})
		mux := newMux(srv)
		mux.Batch = 8
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				for range 20 {
					sub, err := client.Subscribe(context.Background(), mux.Channel(fmt.Sprint(i)), nil)
					if err != nil {
						t.Error(err)
						return
					}
					if got := next(t, sub, 2); got != "1 2" {
						t.Errorf("got %q, want 1 2", got)
					}
					sub.Close()
				}
			})
		}
		group.Wait()
		if s := mux.Stats(); s.Channels != 0 || s.Unrouted != 0 {
			t.Errorf("got %+v, want no channels and no unrouted messages", s)
		}
	})
}

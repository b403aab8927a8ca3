package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A meter is an HTTP feed that sends the numbers from 1, one a tick since its start. It accepts
// tokens, which are the time of their expiry, and cuts off a connection whose token expires.
type meter struct {
	tick    time.Duration
	json    bool          // lines of JSON, otherwise server-sent events
	live    bool          // there are no positions: a connection starts with the next number
	latency time.Duration // until the header of a response is sent
	life    time.Duration // of a token; 0: without limit
	early   time.Duration // a token that expires sooner is not used again
	answer  func(m *meter, w http.ResponseWriter, r *http.Request) (answered bool)

	start time.Time
	srv   *mock.Server
	feed  *transport.HTTP
	token time.Time

	mu   sync.Mutex
	log  []string // method and position of each request
	ends []error  // of connections
	open int
	most int // open at once
}

// onMeter runs f in a bubble with a subscription to m.
func onMeter(t *testing.T, m *meter, configure func(*transport.HTTP, *client.Options), f func(t *testing.T, sub *client.Subscription)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m.start = time.Now()
		m.srv = mock.NewServer(m)
		defer func() {
			if err := m.srv.Close(); err != nil {
				t.Errorf("closing the server: %v", err)
			}
		}()
		m.feed = &transport.HTTP{URL: "http://feed.test/1", Client: m.srv.Client(), Prepare: m.prepare, Overlap: true}
		o := &client.Options{Trace: &client.Trace{Disconnected: func(d client.DisconnectInfo) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.ends = append(m.ends, d.Err)
		}}}
		if m.json {
			o.TokenOf = client.Field("n")
		}
		if configure != nil {
			configure(m.feed, o)
		}
		sub := subscribe(t, m.feed, o)
		defer sub.Close()
		f(t, sub)
	})
}

func (m *meter) prepare(req *http.Request) error {
	if m.life == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Until(m.token) <= m.early || transport.CredentialsRejected(req.Context()) {
		m.token = time.Now().Add(m.life)
	}
	req.Header.Set("Authorization", m.token.Format(time.RFC3339Nano))
	transport.ReplaceBefore(req.Context(), m.token)
	return nil
}

func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	position := r.Header.Get("Last-Event-ID")
	m.mu.Lock()
	m.log = append(m.log, strings.TrimSpace(r.Method+" "+position))
	m.open++
	m.most = max(m.most, m.open)
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.open--
		m.mu.Unlock()
	}()
	expired := make(<-chan time.Time)
	if m.life > 0 {
		at, err := time.Parse(time.RFC3339Nano, r.Header.Get("Authorization"))
		if err != nil || time.Until(at) <= 0 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		expired = time.After(time.Until(at))
	}
	next, err := strconv.Atoi(position)
	if next++; err != nil {
		next = 1
		if m.live {
			next = int(time.Since(m.start)/m.tick) + 1
		}
	}
	select {
	case <-time.After(m.latency):
	case <-r.Context().Done():
		return
	}
	if m.answer != nil && m.answer(m, w, r) {
		return
	}
	if m.json {
		w.Header().Set("Content-Type", "application/x-ndjson")
	} else {
		w.Header().Set("Content-Type", sse)
	}
	w.(http.Flusher).Flush()
	for ; ; next++ {
		select {
		case <-time.After(time.Until(m.start.Add(time.Duration(next) * m.tick))):
		case <-expired:
			panic(http.ErrAbortHandler)
		case <-r.Context().Done():
			return
		}
		switch {
		case m.json:
			fmt.Fprintf(w, "{\"n\":%d}\n", next)
		case m.live:
			fmt.Fprintf(w, "data: {\"n\":%d}\n\n", next)
		default:
			fmt.Fprintf(w, "id: %d\ndata: {\"n\":%[1]d}\n\n", next)
		}
		w.(http.Flusher).Flush()
	}
}

// requests returns how many requests there were and how many connections were open at once.
func (m *meter) requests() (requests, most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.log), m.most
}

func (m *meter) nowOpen() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open
}

// failures returns the ends of connections that were not planned.
func (m *meter) failures() (errs []error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, err := range m.ends {
		if err != nil && !errors.Is(err, io.EOF) && err.Error() != "client: the connection was replaced before its end" && !errors.Is(err, client.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errs
}

// exact reads the numbers up to last, each once, in order and without a gap.
func exact(t *testing.T, sub *client.Subscription, last int) {
	t.Helper()
	next := 1
	for ev, err := range sub.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if n := client.Field("n")(ev); n != fmt.Sprint(next) || ev.Gap != nil {
			t.Fatalf("got event %s with gap %v, want %d without one", n, ev.Gap, next)
		}
		if next++; next > last {
			return
		}
	}
	t.Fatal("got the end of the feed, want more events")
}

const tenth = 100 * time.Millisecond

// A stream is replaced before its token expires. No event is lost or comes twice.
func TestStreamIsReplacedBeforeItsTokenExpires(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, json := range []bool{false, true} {
			for _, overlap := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, JSON %t, overlap %t", scheme, json, overlap), func(t *testing.T) {
					m := &meter{tick: tenth, json: json, latency: 350 * time.Millisecond, life: 2 * time.Minute, early: 30 * time.Second}
					onMeter(t, m, func(h *transport.HTTP, o *client.Options) {
						h.URL, h.Overlap = scheme+"://feed.test/1", overlap
						if json {
							h.Resume = transport.ResumeHeader("Last-Event-ID")
						}
					}, func(t *testing.T, sub *client.Subscription) {
						exact(t, sub, 6000) // ten minutes
						n, most := m.requests()
						if wantMost := map[bool]int{true: 2, false: 1}[overlap]; n < 6 || n > 8 || most != wantMost {
							t.Errorf("got %d requests, %d at once, want 6 to 8 and %d", n, most, wantMost)
						}
						if errs := m.failures(); len(errs) > 0 {
							t.Errorf("got failures %v, want none", errs)
						}
						if overlap && sub.Stats().Duplicates == 0 {
							t.Error("got no duplicate that was dropped, want some from each overlap")
						}
					})
				})
			}
		}
	}
}

// The source of tokens returns the same one until ten seconds before its expiry. So the stream is
// replaced more often, but still before the token expires.
func TestTokenThatIsReusedForLong(t *testing.T) {
	m := &meter{tick: time.Second, life: time.Hour, early: 10 * time.Second}
	onMeter(t, m, nil, func(t *testing.T, sub *client.Subscription) {
		exact(t, sub, 36000)
		if n, _ := m.requests(); n < 11 || n > 50 || len(m.failures()) > 0 {
			t.Errorf("got %d requests and failures %v, want 11 to 50 and none", n, m.failures())
		}
	})
}

// Without positions, both connections are read. Events have numbers, or a loss is reported.
func TestReplacementWithoutPositions(t *testing.T) {
	numbers := func(ev client.Event) (string, uint64, bool) {
		n, err := strconv.ParseUint(client.Field("n")(ev), 10, 64)
		return "", n, err == nil
	}
	m := &meter{tick: tenth, live: true, latency: 350 * time.Millisecond}
	onMeter(t, m, func(h *transport.HTTP, o *client.Options) {
		h.MaxConnectionAge, o.SequenceOf = time.Minute, numbers
	}, func(t *testing.T, sub *client.Subscription) {
		exact(t, sub, 3000)
		if n, most := m.requests(); n < 5 || most != 2 {
			t.Errorf("got %d requests, %d at once, want at least 5 and 2", n, most)
		}
	})
	for name, o := range map[string]struct {
		overlap bool
		took    time.Duration
	}{"without Overlap": {false, 0}, "slow consumer": {true, 150 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			m := &meter{tick: tenth, live: true, latency: 350 * time.Millisecond}
			onMeter(t, m, func(h *transport.HTTP, opts *client.Options) {
				h.MaxConnectionAge, h.Overlap, opts.Buffer = time.Minute, o.overlap, 4
			}, func(t *testing.T, sub *client.Subscription) {
				last, gaps := 0, 0
				for ev, err := range sub.Events() {
					if err != nil {
						t.Fatal(err)
					}
					n := seqOfN(ev)
					if n > last+1 && ev.Gap == nil && last > 0 {
						t.Errorf("got event %d after %d without a gap, want one", n, last)
					}
					if ev.Gap != nil {
						gaps++
					}
					if last = n; n > 2000 {
						break
					}
					time.Sleep(o.took)
				}
				if gaps == 0 {
					t.Error("got no gap, want one for each replacement")
				}
			})
		})
	}
}

func seqOfN(ev client.Event) int {
	n, _ := strconv.Atoi(client.Field("n")(ev))
	return n
}

// A server allows one connection. With Overlap, the old one is kept while the next one is refused.
func TestOneConnectionAtATime(t *testing.T) {
	for name, header := range map[string]http.Header{"409": nil, "429": {"Retry-After": {"300"}}} {
		for _, overlap := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, overlap %t", name, overlap), func(t *testing.T) {
				m := &meter{tick: time.Second, life: 30 * time.Minute, early: 10 * time.Minute}
				var refused []time.Duration
				m.answer = func(m *meter, w http.ResponseWriter, _ *http.Request) bool {
					if m.nowOpen() < 2 {
						return false
					}
					refused = append(refused, time.Since(m.start))
					for k, v := range header {
						w.Header()[k] = v
					}
					code, _ := strconv.Atoi(name)
					w.WriteHeader(code)
					return true
				}
				onMeter(t, m, func(h *transport.HTTP, _ *client.Options) {
					h.Overlap, h.MaxConnectionAge = overlap, 20*time.Minute
				}, func(t *testing.T, sub *client.Subscription) {
					exact(t, sub, 3*3600)
					rest := 30 * time.Second
					if header != nil {
						rest = 5 * time.Minute
					}
					for i := 1; i < len(refused); i++ {
						if d := refused[i] - refused[i-1]; d < rest {
							t.Errorf("got another attempt after %v, want %v between two", d, rest)
						}
					}
					if overlap == (len(refused) == 0) {
						t.Errorf("got %d refused attempts", len(refused))
					}
				})
			})
		}
	}
}

// The successor is never answered: the old connection is read until it ends.
func TestSuccessorThatNeverAnswers(t *testing.T) {
	m := &meter{tick: time.Second, life: 20 * time.Minute, early: 3 * time.Minute}
	m.answer = func(m *meter, _ http.ResponseWriter, r *http.Request) bool {
		if n, _ := m.requests(); n == 1 || time.Since(m.start) > 20*time.Minute {
			return false
		}
		<-r.Context().Done()
		return true
	}
	onMeter(t, m, nil, func(t *testing.T, sub *client.Subscription) {
		exact(t, sub, 3600)
		timeouts := 0
		for _, err := range m.failures() {
			if te := (*transport.TimeoutError)(nil); errors.As(err, &te) && te.Op == "header" {
				timeouts++
			}
		}
		if timeouts == 0 {
			t.Errorf("got failures %v, want timeouts of the successor", m.failures())
		}
	})
}

// The old connection ends while its successor is being opened.
func TestOldConnectionEndsEarly(t *testing.T) {
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprint("live: ", live), func(t *testing.T) {
			m := &meter{tick: tenth, live: live, latency: 10 * time.Second, life: time.Minute, early: 30 * time.Second}
			onMeter(t, m, nil, func(t *testing.T, sub *client.Subscription) {
				if !live {
					exact(t, sub, 6000)
					return
				}
				last := 0
				for ev, err := range sub.Events() {
					if err != nil {
						t.Fatal(err)
					}
					if n := seqOfN(ev); n > last+1 && ev.Gap == nil && last > 0 {
						t.Errorf("got event %d after %d without a gap, want one", n, last)
					}
					if last = seqOfN(ev); last > 3000 {
						return
					}
				}
			})
		})
	}
}

// The successor's first credentials are rejected, and it asks for fresh ones.
func TestSuccessorRefreshesCredentials(t *testing.T) {
	m := &meter{tick: tenth, life: 5 * time.Minute, early: time.Minute, latency: 350 * time.Millisecond}
	rejected := 0
	m.answer = func(m *meter, w http.ResponseWriter, _ *http.Request) bool {
		if n, _ := m.requests(); n%2 == 1 {
			return false
		}
		rejected++
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	onMeter(t, m, nil, func(t *testing.T, sub *client.Subscription) {
		exact(t, sub, 9000)
		if rejected < 3 || len(m.failures()) > 0 {
			t.Errorf("got %d rejected requests and failures %v, want at least 3 and none", rejected, m.failures())
		}
	})
}

// A successor follows redirects. If it must not present its position there, the next event has a Gap.
func TestSuccessorIsRedirected(t *testing.T) {
	for target, gaps := range map[string]bool{"/2": false, "http://other.test/2": true} {
		t.Run(target, func(t *testing.T) {
			m := &meter{tick: tenth, latency: 350 * time.Millisecond, live: gaps}
			m.answer = func(m *meter, w http.ResponseWriter, r *http.Request) bool {
				if n, _ := m.requests(); n == 1 || r.URL.Path == "/2" {
					return false
				}
				http.Redirect(w, r, target, http.StatusTemporaryRedirect)
				return true
			}
			onMeter(t, m, func(h *transport.HTTP, o *client.Options) {
				h.MaxConnectionAge, o.StartAfter = time.Minute, map[bool]string{true: "0"}[gaps]
				if gaps {
					h.OnMessage = func(msg *transport.Message) error { msg.Token = decode.Field(msg.Data, "n"); return nil }
				}
			}, func(t *testing.T, sub *client.Subscription) {
				if !gaps {
					exact(t, sub, 3000)
					return
				}
				for ev, err := range sub.Events() {
					if err != nil {
						t.Fatal(err)
					}
					if ev.Gap != nil && ev.Gap.Reason == transport.GapNoToken && ev.Gap.Err != nil {
						return
					}
					if seqOfN(ev) > 3000 {
						t.Fatal("got no gap, want one")
					}
				}
			})
		})
	}
}

// A POST with ResumeByGet is sent once: its response is replaced by the response to a GET. One that
// subscribes is sent again.
func TestReplacementOfAPost(t *testing.T) {
	for _, once := range []bool{true, false} {
		for _, overlap := range []bool{true, false} {
			t.Run(fmt.Sprintf("once %t, overlap %t", once, overlap), func(t *testing.T) {
				m := &meter{tick: tenth, latency: 350 * time.Millisecond}
				onMeter(t, m, func(h *transport.HTTP, _ *client.Options) {
					h.Method, h.Body, h.MaxConnectionAge, h.Overlap = "POST", []byte("call"), time.Minute, overlap
					if h.ResumeByGet = once; !once {
						h.End = transport.EndReconnect
					}
				}, func(t *testing.T, sub *client.Subscription) {
					exact(t, sub, 3000)
					n, most := m.requests()
					m.mu.Lock()
					defer m.mu.Unlock()
					posts := len(slices.DeleteFunc(slices.Clone(m.log), func(l string) bool { return !strings.HasPrefix(l, "POST") }))
					if n < 5 || once && posts != 1 || !once && posts != n || overlap != (most == 2) {
						t.Errorf("got %v, %d at once", m.log, most)
					}
				})
			})
		}
	}
}

// A replacement is not a start: the initial state is not sought again, and Backfill is asked about a
// loss only.
func TestReplacementAfterTheInitialState(t *testing.T) {
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprint("live: ", live), func(t *testing.T) {
			m := &meter{tick: tenth, live: live, latency: 350 * time.Millisecond}
			var asked []transport.GapReason
			onMeter(t, m, func(h *transport.HTTP, o *client.Options) {
				h.MaxConnectionAge = time.Minute
				h.Overlap = !live
				o.Backfill = func(_ context.Context, gap client.Gap, deliver func(transport.Message) error) (string, error) {
					asked = append(asked, gap.Reason)
					if gap.Reason == transport.GapStart && !live {
						return "0", nil
					}
					return "", nil
				}
			}, func(t *testing.T, sub *client.Subscription) {
				for ev, err := range sub.Events() {
					if err != nil {
						t.Fatal(err)
					}
					if seqOfN(ev) >= 3000 {
						break
					}
				}
				if err := sub.CaughtUp(t.Context()); err != nil {
					t.Errorf("CaughtUp: got %v, want nil", err)
				}
				if len(asked) == 0 || asked[0] != transport.GapStart || live != (len(asked) > 1) {
					t.Errorf("got Backfill asked for %v, want the start, and each replacement without a position", asked)
				}
			})
		})
	}
}

// A feed that is quiet for longer than its connections last is replaced without a timeout.
func TestReplacementOfAQuietFeed(t *testing.T) {
	m := &meter{tick: 50 * time.Minute}
	onMeter(t, m, func(h *transport.HTTP, _ *client.Options) {
		h.MaxConnectionAge = 30 * time.Minute
		h.IdleTimeout = time.Hour
	}, func(t *testing.T, sub *client.Subscription) {
		exact(t, sub, 20)
		if n, _ := m.requests(); n < 30 || len(m.failures()) > 0 {
			t.Errorf("got %d requests and failures %v, want more than 30 and none", n, m.failures())
		}
	})
}

// Drain, Reconnect and Close while a successor is being opened.
func TestStopWhileASuccessorIsOpened(t *testing.T) {
	during := func(t *testing.T, f func(t *testing.T, m *meter, sub *client.Subscription, follower *follower)) {
		m := &meter{tick: tenth, latency: 20 * time.Second}
		onMeter(t, m, func(h *transport.HTTP, _ *client.Options) {
			h.MaxConnectionAge = time.Minute
		}, func(t *testing.T, sub *client.Subscription) {
			follower := follow(sub, 0)
			time.Sleep(20*time.Second + 59*time.Second + 10*time.Second)
			if n, most := m.requests(); n != 2 || most != 2 {
				t.Fatalf("got %d requests, %d at once, want 2 and 2", n, most)
			}
			f(t, m, sub, follower)
		})
	}
	t.Run("Drain", func(t *testing.T) {
		during(t, func(t *testing.T, m *meter, sub *client.Subscription, f *follower) {
			start := time.Now()
			if err := sub.Drain(t.Context()); err != nil || time.Since(start) > time.Second {
				t.Errorf("Drain: got %v after %v, want nil at once", err, time.Since(start))
			}
			<-f.over
			if f.end != nil {
				t.Errorf("got the end %v, want none", f.end)
			}
		})
	})
	t.Run("Close", func(t *testing.T) {
		during(t, func(t *testing.T, m *meter, sub *client.Subscription, f *follower) {
			start := time.Now()
			if err := sub.Close(); err != nil || time.Since(start) > time.Second {
				t.Errorf("Close: got %v after %v, want nil at once", err, time.Since(start))
			}
			<-f.over
		})
	})
	t.Run("Reconnect", func(t *testing.T) {
		during(t, func(t *testing.T, m *meter, sub *client.Subscription, f *follower) {
			sub.Reconnect()
			time.Sleep(30 * time.Second)
			if n, _ := m.requests(); n != 3 || sub.Stats().State != client.StateLive {
				t.Errorf("got %d requests, state %v, want 3 and live", n, sub.Stats().State)
			}
			got := f.seen()
			for i, id := range got {
				if id != fmt.Sprint(i+1) {
					t.Fatalf("got event %s in place %d", id, i+1)
				}
			}
			if len(got) < 1000 {
				t.Errorf("got %d events, want more than 1000", len(got))
			}
		})
	})
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A ticker is a feed that sends the numbers from 1, one event a tick from the moment it was made.
// It can be read from any number that it has reached. Its connections announce their ends.
type ticker struct {
	tick     time.Duration
	start    time.Time
	patience time.Duration
	life     time.Duration // after which a connection ends itself; 0: never
	warning  time.Duration // how long before, it announces that
	live     bool          // there are no positions: a connection starts with a later event
	bare     bool          // events have no ids
	refuse   func(open int) error

	mu    sync.Mutex
	conns []*tickerConn
	opens int
}

// lateTicks is how many events a new connection of a live feed misses.
const lateTicks = 3

func (t *ticker) Validate() error { return nil }

func (t *ticker) Open(ctx context.Context, token string) (*transport.Session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opens++
	if t.refuse != nil {
		if err := t.refuse(t.opens); err != nil {
			return nil, err
		}
	}
	c := &tickerConn{ticker: t, token: token, opened: time.Now(), next: 1, closed: make(chan struct{})}
	if n, err := strconv.Atoi(token); err == nil {
		c.next = n + 1
	} else if t.live {
		c.next = int(time.Since(t.start)/t.tick) + 1 + lateTicks
	}
	if t.life > 0 {
		c.life = time.AfterFunc(t.life, func() { c.end(errors.New("cut off")) })
	}
	t.conns = append(t.conns, c)
	s := &transport.Session{Conn: c, Resumes: true, MaxPause: c.patience}
	if c.warning > 0 {
		s.OnExpiring = func(replace func()) { c.replace = time.AfterFunc(c.ticker.life-c.warning, replace) }
	}
	return s, nil
}

// open returns how many connections are open.
func (t *ticker) open() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		select {
		case <-c.closed:
		default:
			n++
		}
	}
	return n
}

type tickerConn struct {
	*ticker
	token   string
	opened  time.Time
	next    int
	life    *time.Timer
	replace *time.Timer
	once    sync.Once
	closed  chan struct{}
	err     error
}

func (c *tickerConn) end(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.closed)
	})
}

func (c *tickerConn) Read(m *transport.Message) (err error) {
	*m, err = c.message()
	return err
}

func (c *tickerConn) message() (transport.Message, error) {
	due := c.start.Add(time.Duration(c.next) * c.tick)
	select {
	case <-time.After(time.Until(due)):
	case <-c.closed:
		return transport.Message{}, c.err
	}
	n := strconv.Itoa(c.next)
	c.next++
	m := transport.Message{Data: []byte(n), More: time.Until(due.Add(c.tick)) <= 0}
	if !c.bare && !c.ticker.live {
		m.ID, m.Token = n, n
	}
	return m, nil
}

func (c *tickerConn) Close() error {
	c.end(errors.New("closed"))
	if c.life != nil {
		c.life.Stop()
	}
	if c.replace != nil {
		c.replace.Stop()
	}
	return nil
}

// tickOf returns the number of an event of a ticker.
func tickOf(t *testing.T, ev client.Event) int {
	t.Helper()
	n, err := strconv.Atoi(string(ev.Data))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A connection that cannot wait is closed while the consumer has enough to do, and resumed once the
// consumer has handled half of that.
func TestParkedConnectionLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &ticker{tick: time.Second, start: time.Now(), patience: 10 * time.Second}
		sub, err := client.Subscribe(t.Context(), feed, &client.Options{Buffer: 8})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		time.Sleep(17 * time.Second) // full after 8 s, and 9 s later
		if feed.open() != 1 {
			t.Fatalf("got %d open connections before MaxPause, want 1", feed.open())
		}
		time.Sleep(3 * time.Second)
		if feed.open() != 0 {
			t.Fatalf("got %d open connections after MaxPause, want 0", feed.open())
		}
		if s := sub.Stats(); s.State != client.StateFull {
			t.Errorf("state: got %v, want full", s.State)
		}
		want := 1
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if n := tickOf(t, ev); n != want || ev.Gap != nil {
				t.Fatalf("got event %d with gap %v, want %d without one", n, ev.Gap, want)
			}
			if want == 3 {
				synctest.Wait()
				if feed.open() != 0 {
					t.Error("got a connection while the buffer is nearly full, want none")
				}
			}
			if want++; want > 100 {
				break
			}
		}
		if feed.opens != 2 || feed.conns[1].token != "8" {
			t.Errorf("got %d connections, the last from %q, want 2, the second from 8", feed.opens, feed.conns[len(feed.conns)-1].token)
		}
	})
}

// A feed without positions would lose events if its connection were closed, so it stays open.
func TestNotParkedWithoutPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &ticker{tick: time.Second, start: time.Now(), patience: 10 * time.Second, live: true, bare: true}
		sub, err := client.Subscribe(t.Context(), feed, &client.Options{Buffer: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		time.Sleep(time.Minute)
		last := lateTicks
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			n := tickOf(t, ev)
			if n != last+1 || ev.Gap != nil {
				t.Fatalf("got event %d with gap %v, want %d without one", n, ev.Gap, last+1)
			}
			if last = n; n > 70 {
				break
			}
		}
		if feed.opens != 1 {
			t.Errorf("got %d connections, want 1", feed.opens)
		}
	})
}

func TestHandoverLosesNothing(t *testing.T) {
	cases := map[string]struct {
		live bool
		opts client.Options
	}{
		"by position": {},
		"by number, without positions": {live: true, opts: client.Options{
			SequenceOf: func(ev client.Event) (string, uint64, bool) {
				n, err := strconv.ParseUint(string(ev.Data), 10, 64)
				return "", n, err == nil
			},
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := &ticker{
					tick: 100 * time.Millisecond, start: time.Now(), live: c.live,
					life: time.Minute, warning: 5 * time.Second,
				}
				var ends []error
				opts := c.opts
				opts.Trace = &client.Trace{
					Disconnected: func(d client.DisconnectInfo) { ends = append(ends, d.Err) },
					Gap:          func(g client.Gap) { t.Errorf("got gap %v, want none", g) },
				}
				sub, err := client.Subscribe(t.Context(), feed, &opts)
				if err != nil {
					t.Fatal(err)
				}
				want, latest := 1, time.Duration(0)
				if c.live {
					want += lateTicks
				}
				for ev, err := range sub.Events() {
					if err != nil {
						t.Fatal(err)
					}
					if n := tickOf(t, ev); n != want {
						t.Fatalf("got event %d, want %d", n, want)
					}
					latest = max(latest, time.Since(feed.start.Add(time.Duration(want)*feed.tick)))
					if want++; want > 10*60*10 {
						break
					}
				}
				if n := feed.open(); n > 2 {
					t.Errorf("got %d open connections, want at most 2", n)
				}
				if err := sub.Close(); err != nil || feed.open() != 0 {
					t.Errorf("Close: got %v and %d open connections, want nil and none", err, feed.open())
				}
				if feed.opens != 11 {
					t.Errorf("got %d connections, want 11", feed.opens)
				}
				if latest > 0 {
					t.Errorf("got an event %v late, want none late", latest)
				}
				for _, err := range ends[:len(ends)-1] {
					if err.Error() != "client: the connection was replaced before its end" {
						t.Errorf("got the end of a connection %v, want its replacement", err)
					}
				}
			})
		})
	}
}

// The old connection stays in use while no successor can be opened, and its end is an ordinary one.
func TestFailedHandoverKeepsTheOldConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &ticker{tick: time.Second, start: time.Now(), life: time.Hour, warning: 10*time.Minute - 10*time.Second}
		feed.refuse = func(open int) error {
			if open > 1 && time.Since(feed.start) < time.Hour {
				return errors.New("one is enough")
			}
			return nil
		}
		var mu sync.Mutex
		ends := make(map[string]int)
		sub, err := client.Subscribe(t.Context(), feed, &client.Options{Trace: &client.Trace{
			Disconnected: func(d client.DisconnectInfo) {
				mu.Lock()
				defer mu.Unlock()
				ends[d.Err.Error()]++
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if n := tickOf(t, ev); n != want || ev.Gap != nil {
				t.Fatalf("got event %d with gap %v, want %d without one", n, ev.Gap, want)
			}
			if want++; want > 3700 {
				break
			}
		}
		mu.Lock()
		if len(ends) != 2 || ends["cut off"] != 1 || ends["one is enough"] != feed.opens-2 {
			t.Errorf("got ends %v, want one that was cut off after %d that were refused", ends, feed.opens-2)
		}
		mu.Unlock()
		if want := 1 + 10*2 + 1; feed.opens != want {
			t.Errorf("got %d attempts, want %d", feed.opens, want)
		}
		sub.Close()
	})
}

// subscribeUntilHandover subscribes and returns when the successor is being opened, which hangs.
func subscribeUntilHandover(t *testing.T) (*slowOpen, *client.Subscription) {
	t.Helper()
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
	return feed, sub
}

func TestCloseDuringHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, sub := subscribeUntilHandover(t)
		if !feed.waiting.Load() {
			t.Fatal("got no attempt to open a successor, want one")
		}
		start := time.Now()
		if err := sub.Close(); err != nil || time.Since(start) > 0 {
			t.Errorf("Close: got %v after %v, want nil at once", err, time.Since(start))
		}
		if feed.open() != 0 {
			t.Errorf("got %d open connections, want none", feed.open())
		}
	})
}

// Reconnect is called while a successor is open and the old connection is still read: no other
// attempt is made.
func TestReconnectTakesUpAnOpenSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &ticker{tick: 100 * time.Millisecond, start: time.Now(), life: time.Hour, warning: time.Minute, live: true, bare: true}
		var gaps []transport.GapReason
		var ends []error
		sub, err := client.Subscribe(t.Context(), feed, &client.Options{Trace: &client.Trace{
			Gap:          func(g client.Gap) { gaps = append(gaps, g.Reason) },
			Disconnected: func(d client.DisconnectInfo) { ends = append(ends, d.Err) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		go data(t, sub, 0)
		time.Sleep(59*time.Minute + 500*time.Millisecond) // both are read for a second
		if feed.open() != 2 {
			t.Fatalf("got %d open connections, want 2", feed.open())
		}
		sub.Reconnect()
		time.Sleep(time.Minute)
		if s := sub.Stats(); s.Attempts != 2 || s.Connections != 2 || s.State != client.StateLive || feed.open() != 1 {
			t.Errorf("got %d attempts, %d connections, %d open, state %v, want 2, 2, 1 and live", s.Attempts, s.Connections, feed.open(), s.State)
		}
		if len(ends) != 1 || ends[0].Error() != "client: Reconnect was called" {
			t.Errorf("got ends %v, want one by Reconnect", ends)
		}
		want(t, "gaps", gaps, []transport.GapReason{transport.GapNoToken})
		sub.Close()
	})
}

// The old connection has ended and its successor is still being opened.
func TestReconnectDuringAHandoverStartsAnotherAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &slowOpen{ticker: ticker{tick: time.Second, start: time.Now(), life: time.Hour, warning: time.Minute}}
		sub, err := client.Subscribe(t.Context(), feed, nil)
		if err != nil {
			t.Fatal(err)
		}
		go data(t, sub, 0)
		time.Sleep(time.Hour + time.Minute)
		if s := sub.Stats(); s.State != client.StateConnecting || s.Attempts != 2 {
			t.Fatalf("got state %v after %d attempts, want the second one in progress", s.State, s.Attempts)
		}
		sub.Reconnect()
		synctest.Wait()
		if s := sub.Stats(); s.Attempts != 3 {
			t.Errorf("got %d attempts after Reconnect, want a third one", s.Attempts)
		}
		sub.Close()
	})
}

// slowOpen never finishes opening a second connection.
type slowOpen struct {
	ticker
	waiting atomic.Bool
}

func (s *slowOpen) Validate() error { return nil }

func (s *slowOpen) Open(ctx context.Context, token string) (*transport.Session, error) {
	if token == "" {
		return s.ticker.Open(ctx, token)
	}
	s.waiting.Store(true)
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// A broadcast numbers its messages from its start. A connection gets the messages from now on.
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
				t.Logf("%v: event %d after %d", time.Since(b.start), n, seen)
			}
			seen = max(seen, n)
			if seen >= last {
				break
			}
			time.Sleep(pause)
		}
		if silent > 0 {
			t.Errorf("got %d lost events without a gap (%d gaps, %d connections), want none", silent, gaps, b.opens.Load())
		}
	})
}

// The consumer is slow, and the old connection is closed while much of it is still unread.
func TestHandoverReportsTheUnreadRest(t *testing.T) {
	b := &broadcast{every: 100 * time.Millisecond}
	b.check(t, func(w *transport.WebSocket) {
		w.Overlap, w.MaxConnectionAge = true, 30*time.Second
	}, &client.Options{Buffer: 4}, 600, 200*time.Millisecond)
}

// The consumer is fast, but was busy for a moment.
func TestHandoverWithABusyConsumer(t *testing.T) {
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
				t.Errorf("got event %d after %d without a gap, want one", n, seen)
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

// The events have ids, but the transport has no way to present a token.
func TestIDsWithoutResumeReportAGap(t *testing.T) {
	b := &broadcast{every: 100 * time.Millisecond, life: 50}
	b.check(t, func(w *transport.WebSocket) {
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			m.ID = strconv.Itoa(seqOf(m.Data))
			m.Token = m.ID
			return nil
		}
	}, nil, 600, 0)
}

func TestHandoverOfIDsWithoutResume(t *testing.T) {
	b := &broadcast{every: 10 * time.Millisecond}
	b.check(t, func(w *transport.WebSocket) {
		w.Overlap, w.MaxConnectionAge = true, 10*time.Second
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			m.ID = strconv.Itoa(seqOf(m.Data))
			m.Token = m.ID
			return nil
		}
	}, &client.Options{Buffer: 4}, 3000, 12*time.Millisecond)
}

// asks is an error that asks for a delay.
type asks struct{}

func (asks) Error() string { return "too many" }

func (asks) RetryAfter() time.Duration { return 10 * time.Minute }

func (asks) StatusCode() int { return 429 }

func TestHandoverHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &ticker{tick: time.Second, start: time.Now(), life: time.Hour, warning: 20 * time.Minute}
		feed.refuse = func(open int) error {
			if open > 1 && time.Since(feed.start) < 55*time.Minute {
				return asks{}
			}
			return nil
		}
		var reported atomic.Int32
		sub, err := client.Subscribe(t.Context(), feed, &client.Options{Trace: &client.Trace{Disconnected: func(d client.DisconnectInfo) {
			if errors.Is(d.Err, asks{}) {
				reported.Add(1)
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
			t.Errorf("got %d attempts in ten minutes, want 1", opens-1)
		}
		if reported.Load() == 0 {
			t.Errorf("got none of %d failed attempts reported, want each", opens-1)
		}
		sub.Close()
	})
}

func TestReconnectDuringAHandoverThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, sub := subscribeUntilHandover(t)
		sub.Reconnect()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := feed.open(); n == 0 && sub.Stats().State != client.StateConnecting {
			t.Errorf("an hour after Reconnect: got no open connection in state %v, want one", sub.Stats().State)
		}
		sub.Close()
	})
}

// The server announces the end of each connection at once.
func TestHandoversAreSpaced(t *testing.T) {
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
			t.Errorf("got %d connections in five seconds, want at most 20", n)
		}
	})
}

// slowly is a feed whose connections take their time to open, and start with the next event.
type slowly struct {
	*ticker
	takes time.Duration
}

func (s slowly) Validate() error { return nil }

func (s slowly) Open(ctx context.Context, token string) (*transport.Session, error) {
	time.Sleep(s.takes)
	return s.ticker.Open(ctx, token)
}

// The old connection ends before its successor is open: events in between are lost.
func TestHandoverThatIsTooLateReportsAGap(t *testing.T) {
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
				t.Errorf("got event %d after %d without a gap, want one", n, last)
			}
			if last = n; n > 700 {
				return
			}
		}
	})
}

// Each connection counts its events from 1.
func TestHandoverWithNumbersPerConnection(t *testing.T) {
	b := &broadcast{every: 100 * time.Millisecond}
	b.check(t, func(w *transport.WebSocket) {
		w.Overlap, w.MaxConnectionAge = true, 30*time.Second
	}, &client.Options{SequenceOf: func(ev client.Event) (string, uint64, bool) {
		var seq, own int
		fmt.Sscanf(string(ev.Data), `{"seq":%d,"own":%d}`, &seq, &own)
		return "", uint64(own), true
	}}, 600, 0)
}

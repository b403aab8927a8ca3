package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
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
)

// TestExplorePoll runs random schedules over servers of pages: requests that fail, hang or are cut
// off, bodies that are not JSON, pages that overlap or move while they are read, refusals with and
// without a delay; and processes that are killed, end gracefully, refuse events and reconnect. After
// each schedule, these promises must hold for every kind of page:
//
//   - every event was handled, in order in each process, and no Gap was reported;
//   - a server that deletes what a position confirms has deleted only what was acknowledged;
//   - no server is asked in a loop.
func TestExplorePoll(t *testing.T) {
	seed := *exploreSeed
	defer func() {
		if t.Failed() {
			t.Logf("repeat with -explore.seed=%d -explore.runs=1", seed)
		}
	}()
	for end := seed + uint64(max(*exploreRuns/4, 1)); seed < end; seed++ {
		synctest.Test(t, func(t *testing.T) { explorePoll(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func explorePoll(t *testing.T, rng *rand.Rand) {
	w := newPageWorld(t, rng)
	srv := mock.NewServer(w)
	defer srv.Close()
	w.feed.Client = srv.Client()
	for range 1 + rng.IntN(4) {
		w.process(time.Duration(rng.IntN(180)) * time.Second)
	}
	w.calm.Store(true)
	w.process(time.Hour)
	for i := 1; i <= w.total; i++ {
		if !w.done[i] {
			t.Errorf("%s: event %d of %d is lost", w.kind, i, w.total)
		}
	}
	if limit := int64(200+20*w.total) + int64(time.Since(w.start)/w.feed.Interval); w.asked.Load() > limit {
		t.Errorf("%s: got %d requests, want at most %d", w.kind, w.asked.Load(), limit)
	}
}

// A pageWorld is a server of pages with the events 0 to total, which happen in the course of time.
// Event 0 was handled before.
type pageWorld struct {
	t     *testing.T
	kind  string
	feed  *transport.Poll
	store *mock.Store
	total int
	size  int
	start time.Time
	every time.Duration // between two events
	calm  atomic.Bool
	asked atomic.Int64

	rng *rand.Rand // only for the goroutine that runs the schedule

	mu      sync.Mutex
	dice    *rand.Rand
	deleted int // of confirming: the last event that was deleted
	done    []bool
}

func newPageWorld(t *testing.T, rng *rand.Rand) *pageWorld {
	w := &pageWorld{
		t: t, rng: rng, dice: rand.New(rand.NewPCG(rng.Uint64(), 0)), store: new(mock.Store), start: time.Now(),
		kind:  []string{"cursor", "event", "link", "reversed", "listed", "confirming"}[rng.IntN(6)],
		total: 1 + rng.IntN(40), size: 1 + rng.IntN(7), every: time.Duration(rng.IntN(9000)) * time.Millisecond,
	}
	w.done = make([]bool, w.total+1)
	w.feed = &transport.Poll{
		URL: "http://feed.test/list", Resume: transport.ResumeQuery("after"), Events: "events", ID: "id",
		Interval: time.Duration(5+rng.IntN(60)) * time.Second, Timeout: 10 * time.Second,
	}
	switch w.kind {
	case "cursor":
		w.feed.Cursor, w.feed.More = "cursor", "more"
	case "event":
		w.feed.Limit = w.size
	case "reversed":
		w.feed.NewestFirst, w.feed.More = true, "more"
	case "listed":
		w.feed.NewestFirst, w.feed.Resume = true, nil
	case "confirming":
		w.feed.Confirms, w.feed.Limit = true, w.size
	}
	return w
}

func (w *pageWorld) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	w.mu.Lock()
	fault, overlap := w.dice.IntN(24), w.dice.IntN(3) == 0
	if w.calm.Load() {
		fault = -1
	}
	body := w.page(rw.Header(), r, overlap && w.kind != "listed" && fault >= 0)
	w.mu.Unlock()
	switch fault {
	case 0:
		rw.WriteHeader(http.StatusServiceUnavailable)
	case 1, 2:
		rw.Header().Set("Retry-After", "7")
		rw.WriteHeader([]int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[fault-1])
	case 3:
		panic(http.ErrAbortHandler)
	case 4:
		rw.Header().Set("Content-Length", strconv.Itoa(len(body)))
		io.WriteString(rw, body[:len(body)/2])
	case 5:
		io.WriteString(rw, body[:len(body)/2])
	case 6:
		<-r.Context().Done()
	case 7:
		time.Sleep(3 * time.Second)
		io.WriteString(rw, body)
	case 8:
		if r.URL.Query().Has("page") { // that would be the end of the list
			panic(http.ErrAbortHandler)
		}
		rw.WriteHeader(http.StatusNoContent)
	default:
		io.WriteString(rw, body)
	}
}

// page returns the page that is asked for. The caller holds mu.
func (w *pageWorld) page(h http.Header, r *http.Request, overlap bool) string {
	query := r.URL.Query()
	last := w.total
	if w.every > 0 {
		last = min(last, int(time.Since(w.start)/w.every))
	}
	after, _ := strconv.Atoi(query.Get("after"))
	if w.kind == "confirming" {
		for i := w.deleted + 1; i <= after; i++ {
			if !w.done[i] {
				w.t.Errorf("event %d was confirmed before it was acknowledged", i)
			}
		}
		w.deleted = max(w.deleted, after)
		after = w.deleted
	}
	from, to := after+1, min(after+w.size, last)
	if w.kind == "listed" {
		n, _ := strconv.Atoi(query.Get("page"))
		to = max(last-n*w.size, -1)
		if from = max(to-w.size+1, 0); from > 0 {
			h.Set("Link", fmt.Sprintf(`</list?page=%d>; rel="next"`, n+1))
		}
		h.Set("ETag", fmt.Sprintf(`"%d-%d"`, from, to))
	}
	if w.kind == "link" && to < last {
		h.Set("Link", fmt.Sprintf(`</list?after=%d>; rel="next"`, to))
	}
	if overlap && w.kind != "confirming" && to > after && after > 0 {
		from--
	}
	var events []string
	for i := from; i <= to; i++ {
		events = append(events, fmt.Sprintf(`{"id":"%d"}`, i))
	}
	if w.feed.NewestFirst {
		slices.Reverse(events)
	}
	return fmt.Sprintf(`{"events":[%s],"cursor":"%d","more":%t}`, strings.Join(events, ","), max(to, after), to < last)
}

// A dyingStore is a process's connection to the store.
type dyingStore struct {
	*mock.Store
	killed atomic.Bool
}

func (s *dyingStore) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if s.killed.Load() {
		return "", errors.New("killed")
	}
	return s.Store.Save(ctx, key, data, prev)
}

// process runs a process for at most d.
func (w *pageWorld) process(d time.Duration) {
	store := &dyingStore{Store: w.store}
	sub, err := client.Subscribe(w.t.Context(), w.feed, &client.Options{
		Name: "n", Store: store, StartAfter: "0", Buffer: 1 + w.rng.IntN(10), CommitEvery: time.Millisecond,
		Retry: retry.Policy{Classes: map[retry.Class]retry.Rule{retry.ClassProtocol: {MaxAttempts: -1}}},
	})
	if err != nil {
		w.t.Fatalf("Subscribe: %v", err)
	}
	kill := w.rng.IntN(2) == 0
	end := time.AfterFunc(d, func() {
		store.killed.Store(kill)
		sub.Close()
	})
	last := -1
	for ev, err := range sub.Events() {
		if err != nil {
			if !errors.Is(err, client.ErrClosed) {
				w.t.Errorf("%s: the loop ended with %v", w.kind, err)
			}
			break
		}
		i, _ := strconv.Atoi(decode.Field(ev.Data, "id"))
		if ev.Gap != nil {
			w.t.Errorf("%s: event %d: got a Gap (%s), want none", w.kind, i, ev.Gap.Reason)
		}
		if last >= 0 && i > last+1 && ev.Attempt == 1 {
			w.t.Errorf("%s: got event %d after %d, want the next one", w.kind, i, last)
		}
		if last = max(last, i); w.work(sub, &ev, i) {
			break
		}
	}
	end.Stop()
	sub.Close()
}

// work handles an event, and reports whether the last one is handled.
func (w *pageWorld) work(sub *client.Subscription, ev *client.Event, i int) (over bool) {
	switch w.rng.IntN(12) {
	case 0:
		ev.Nack(errBusy)
		return false
	case 1:
		sub.Reconnect()
	case 2:
		time.Sleep(time.Duration(w.rng.IntN(5000)) * time.Millisecond)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[i] = true
	return w.calm.Load() && !slices.Contains(w.done[1:], false)
}

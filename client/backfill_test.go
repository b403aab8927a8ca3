package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// An archive answers Options.Backfill. Each call takes the next of its answers.
type archive struct {
	answers []answer
	asked   []string
	errs    []error // of deliver, if it failed
}

type answer struct {
	items  []transport.Message
	took   time.Duration
	resume string
	err    error
}

func (a *archive) backfill(ctx context.Context, g client.Gap, deliver func(transport.Message) error) (string, error) {
	a.asked = append(a.asked, fmt.Sprintf("%s after %q, missed %d", g.Reason, g.From, g.Missed))
	if len(a.answers) == 0 {
		return "", errors.New("asked too often")
	}
	now := a.answers[0]
	a.answers = a.answers[1:]
	for _, m := range now.items {
		if err := deliver(m); err != nil {
			a.errs = append(a.errs, err)
			return "", err
		}
	}
	select {
	case <-time.After(now.took):
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	return now.resume, now.err
}

// items returns messages without a token.
func items(data ...string) (ms []transport.Message) {
	for _, d := range data {
		ms = append(ms, transport.Message{Data: []byte(d)})
	}
	return ms
}

// placed returns messages whose data is their token and id.
func placed(tokens ...string) (ms []transport.Message) {
	for _, d := range tokens {
		ms = append(ms, transport.Message{Data: []byte("data " + d), Token: d, ID: d})
	}
	return ms
}

var errUnanswered = errors.New("the archive does not answer")

// final is an error that no later attempt can mend.
type final struct{}

func (final) Error() string   { return "the archive is gone" }
func (final) Retryable() bool { return false }

// A cluster is a feed of numbered changes that can be resumed from a version until that is compacted,
// and a list of its state.
type cluster struct {
	mu      sync.Mutex
	version int
	oldest  int           // version from which a watch can start
	cut     chan struct{} // closed to end the connections
	opened  []string
	lists   int
	fail    map[int]error // of some lists, after their first item
	named   bool          // the items of a list have tokens
}

type rejected struct{}

func (rejected) Error() string      { return "the version is compacted" }
func (rejected) RejectsToken() bool { return true }

func (c *cluster) Validate() error { return nil }

func (c *cluster) Open(ctx context.Context, token string) (*transport.Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened = append(c.opened, token)
	from := c.version
	if token != "" {
		from, _ = strconv.Atoi(token)
	}
	if from < c.oldest {
		return nil, rejected{}
	}
	if c.cut == nil {
		c.cut = make(chan struct{})
	}
	ctx, cancel := context.WithCancel(ctx)
	return &transport.Session{Conn: &watch{c, ctx, cancel, from, c.cut}, Resumes: true}, nil
}

type watch struct {
	*cluster
	ctx    context.Context
	cancel func()
	at     int
	cut    chan struct{}
}

func (w *watch) Read(m *transport.Message) error {
	for {
		w.mu.Lock()
		now := w.version
		w.mu.Unlock()
		select {
		case <-w.cut: // read after the version, which compact changes with it
			return io.EOF
		default:
		}
		if w.at < now {
			w.at++
			token := strconv.Itoa(w.at)
			*m = transport.Message{Data: []byte("change " + token), Token: token}
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-w.cut:
			return io.EOF
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
}

func (w *watch) Close() error {
	w.cancel()
	return nil
}

// change makes n changes.
func (c *cluster) change(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version += n
}

// compact makes n changes, forgets the history and ends the connections before these changes are read.
func (c *cluster) compact(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version += n
	c.oldest = c.version
	close(c.cut)
	c.cut = nil
}

func (c *cluster) list(_ context.Context, g client.Gap, deliver func(transport.Message) error) (string, error) {
	c.mu.Lock()
	c.lists++
	n, err, version := c.lists, c.fail[c.lists], strconv.Itoa(c.version)
	c.mu.Unlock()
	for i := range 3 {
		m := transport.Message{Data: fmt.Appendf(nil, "item %d of %s", i, version)}
		if c.named {
			m.Token = fmt.Sprint(g.Reason, i)
		}
		if e := deliver(m); e != nil {
			return "", e
		}
		if err != nil {
			return "", fmt.Errorf("list %d: %w", n, err)
		}
	}
	return version, nil
}

// handled returns the data of the next events, which are acknowledged.
func handled(t *testing.T, sub *client.Subscription, n int) (got []string) {
	t.Helper()
	for range n {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		ev, err := sub.Next(ctx)
		cancel()
		if err != nil {
			t.Fatalf("Next: %v, after %q", err, got)
		}
		if ev.Gap != nil {
			t.Errorf("%s: got the gap %v, want none", ev.Data, ev.Gap)
		}
		ev.Ack()
		got = append(got, string(ev.Data))
	}
	return got
}

// List, then watch: the list names the position to connect with, at the start and after a rejected
// token. A list that fails is repeated, and no gap is reported.
func TestBackfillBeforeTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{version: 10, oldest: 10, fail: map[int]error{1: errUnanswered, 3: errUnanswered}}
		var states []client.State
		var sub *client.Subscription
		o := &client.Options{Backfill: func(ctx context.Context, g client.Gap, d func(transport.Message) error) (string, error) {
			states = append(states, sub.Stats().State)
			return c.list(ctx, g, d)
		}}
		ready := make(chan struct{})
		list := o.Backfill
		o.Backfill = func(ctx context.Context, g client.Gap, d func(transport.Message) error) (string, error) {
			<-ready
			return list(ctx, g, d)
		}
		sub = subscribe(t, c, o)
		close(ready)
		want(t, "initial", handled(t, sub, 4), []string{"item 0 of 10", "item 0 of 10", "item 1 of 10", "item 2 of 10"})
		c.change(2)
		want(t, "changes", handled(t, sub, 2), []string{"change 11", "change 12"})
		c.compact(8)
		want(t, "after the loss", handled(t, sub, 4), []string{"item 0 of 20", "item 0 of 20", "item 1 of 20", "item 2 of 20"})
		c.change(1)
		want(t, "changes", handled(t, sub, 1), []string{"change 21"})
		want(t, "tokens", c.opened, []string{"10", "12", "20"})
		want(t, "states", states, slices.Repeat([]client.State{client.StateBackfilling}, 4))
		if s := sub.Stats(); s.State != client.StateLive || s.Gaps != 1 {
			t.Errorf("Stats: got %+v, want live and one gap", s)
		}
		sub.Close()
	})
}

// The process dies within a backfill whose items are no positions: the checkpoint stays before the
// gap until the backfill is complete and acknowledged, and the next process asks again.
func TestBackfillWithoutTokensBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, store := &cluster{version: 10, oldest: 10}, new(mock.Store)
		die := func(after int, want string) {
			t.Helper()
			o := named(store)
			o.Backfill = c.list
			sub := subscribe(t, c, o)
			handled(t, sub, after)
			time.Sleep(time.Minute)
			sub.Close()
			if r := readRecord(t, store); r.Token != want {
				t.Errorf("stored token after %d events: got %q, want %q", after, r.Token, want)
			}
		}
		die(2, "")
		die(2, "")
		die(3, "10")
		c.change(2)
		die(1, "11")
		c.version, c.oldest, c.cut = 20, 20, nil
		die(2, "11")
		die(3, "20")
		if c.lists != 5 {
			t.Errorf("got %d lists, want 5", c.lists)
		}
	})
}

// A message of a backfill with a Token is a place to resume after.
func TestBackfillWithTokensResumesInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, store := &cluster{version: 10, oldest: 10, named: true}, new(mock.Store)
		o := named(store)
		o.Backfill = c.list
		o.TokenOf = func(client.Event) string { return "of TokenOf" }
		sub := subscribe(t, c, o)
		handled(t, sub, 2)
		time.Sleep(time.Minute)
		sub.Close()
		if r := readRecord(t, store); r.Token != "start1" {
			t.Errorf("stored token: got %q, want that of the second item", r.Token)
		}
	})
}

// counted is a Transport without positions whose connections are channels.
type counted struct {
	conns  []chan transport.Message
	opened int
	pause  time.Duration
}

func (c *counted) Validate() error { return nil }

func (c *counted) Open(ctx context.Context, _ string) (*transport.Session, error) {
	if c.opened == len(c.conns) {
		return nil, transport.ErrComplete
	}
	s, err := chanFeed(c.conns[c.opened]).Open(ctx, "")
	c.opened++
	s.MaxPause = c.pause
	return s, err
}

func conn(data ...string) chan transport.Message {
	c := make(chan transport.Message, len(data)+10)
	for _, d := range data {
		c <- transport.Message{Data: []byte(d)}
	}
	return c
}

// Snapshot and deltas: the snapshot is fetched while the connection is open, the deltas that it
// covers are dropped for each key, and one that it does not reach up to asks for another.
func TestBackfillOfASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &counted{conns: []chan transport.Message{conn("a10", "b5", "a11", "b6", "a12", "a13", "a15", "b7", "a16", "b8")}}
		a := &archive{answers: []answer{
			{}, // not before the connection
			{items: items("snapshot a12", "snapshot a12", "snapshot b5")},
			{items: items("snapshot a13", "snapshot b6")},                     // from a cache: not yet enough
			{items: items("snapshot a15", "snapshot b7"), err: errUnanswered}, // enough, but not complete
			{items: items("snapshot a15", "snapshot b7")},
		}}
		var opened []int
		o := &client.Options{SequenceOf: numberOf, Backfill: func(ctx context.Context, g client.Gap, d func(transport.Message) error) (string, error) {
			opened = append(opened, feed.opened)
			return a.backfill(ctx, g, d)
		}}
		sub := subscribe(t, feed, o)
		want(t, "events", handled(t, sub, 11), []string{"snapshot a12", "snapshot a12", "snapshot b5", "b6", "a13",
			"snapshot a15", "snapshot b7", "snapshot a15", "snapshot b7", "a16", "b8"})
		want(t, "questions", a.asked, []string{`start after "", missed 0`, `no token after "", missed 0`,
			`sequence jump after "", missed 1`, `sequence jump after "", missed 1`, `sequence jump after "", missed 0`})
		want(t, "connections", opened, []int{0, 1, 1, 1, 1})
		sub.Close()
	})
}

// Each key has its own backfill, and each covers what the feed still holds of its key.
func TestBackfillsOfSeveralKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &counted{conns: []chan transport.Message{conn("a1", "b1", "a3", "b3", "a4", "b4", "a5", "a6", "b5", "b6")}}
		a := &archive{answers: []answer{{err: client.ErrAcceptGap}, {items: items("snapshot a5", "snapshot b1")}, {items: items("snapshot b5", "snapshot a1")}}}
		sub := subscribe(t, feed, &client.Options{SequenceOf: numberOf, Backfill: a.backfill})
		want(t, "events", handled(t, sub, 6), []string{"a1", "b1", "snapshot a5", "snapshot b5", "a6", "b6"})
		sub.Close()
	})
}

// A gap that is accepted is delivered, once, with what is still missing.
func TestBackfillAcceptsTheGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &counted{conns: []chan transport.Message{conn("a1", "a9", "a10", "a20")}}
		a := &archive{answers: []answer{
			{err: client.ErrAcceptGap},
			{items: placed("a5"), err: fmt.Errorf("nothing older: %w", client.ErrAcceptGap)},
			{items: items("a15", "a16"), err: errUnanswered},
			{items: items("a17"), err: client.ErrAcceptGap},
		}}
		feed.conns[0] <- transport.Message{Kind: decode.KindKeepalive}
		book := &logbook{}
		sub := subscribe(t, feed, &client.Options{SequenceOf: numberOf, Backfill: a.backfill, Logger: book.logger()})
		var got []string
		for range 8 {
			ev, _ := sub.Next(t.Context())
			ev.Ack()
			line := string(ev.Data)
			if ev.Gap != nil {
				line += fmt.Sprintf(" %s %s %d", ev.Gap.Reason, ev.Gap.Key, ev.Gap.Missed)
			}
			got = append(got, line)
		}
		want(t, "events", got, []string{"a1", "data a5", "a9 sequence jump a 3", "a10", "a15", "a16", "a17", "a20 sequence jump a 2"})
		want(t, "questions", a.asked, []string{`start after "", missed 0`, `sequence jump after "", missed 7`, `sequence jump after "a5", missed 9`, `sequence jump after "a5", missed 3`})
		sub.Close()
		want(t, "log", book.brief(), []string{"INFO backfill started", "INFO backfill accepts the gap", "INFO connected",
			"WARN events may be missing", "INFO backfill started", "INFO backfill accepts the gap",
			"WARN events may be missing", "INFO backfill started", "WARN backfill failed", "INFO backfill accepts the gap", "INFO ended"})
	})
}

// An error that is final ends the subscription, before and with a connection.
func TestBackfillStops(t *testing.T) {
	for name, c := range map[string]struct {
		answers []answer
		want    error
	}{
		"before":      {[]answer{{err: errUnanswered}, {err: final{}}}, final{}},
		"terminal":    {[]answer{{}, {err: client.RetryAfter(time.Hour, errUnanswered)}, {err: client.Terminal(final{})}}, final{}},
		"connected":   {[]answer{{}, {items: items("x"), err: fmt.Errorf("list: %w", final{})}}, final{}},
		"complete":    {[]answer{{}, {err: transport.ErrComplete}}, io.EOF},
		"no position": {[]answer{{err: transport.ErrComplete}}, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &archive{answers: c.answers}
				sub := subscribe(t, &counted{conns: []chan transport.Message{conn("a")}}, &client.Options{Backfill: a.backfill})
				defer sub.Close()
				_, err := data(t, sub, 0)
				var stop *client.StopError
				if c.want == io.EOF && err != nil || c.want != io.EOF && (!errors.Is(err, c.want) || !errors.As(err, &stop)) {
					t.Errorf("got the end %v, want %v in a StopError", err, c.want)
				}
				if _, err := sub.Next(t.Context()); c.want == io.EOF && err != io.EOF {
					t.Errorf("Next: got %v, want io.EOF", err)
				}
			})
		})
	}
}

// Failures of Backfill have the schedule of Options.Retry, and its limit.
func TestBackfillIsRetriedUnderThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := retry.Constant(time.Hour)
		policy.MaxAttempts = 3
		a := &archive{answers: slices.Repeat([]answer{{err: errUnanswered}}, 3)}
		var infos []string
		trace := &client.Trace{
			Backfilling: func(i client.BackfillInfo) { infos = append(infos, fmt.Sprint("begin ", i.Attempt, i.Took, i.Err)) },
			Backfilled:  func(i client.BackfillInfo) { infos = append(infos, fmt.Sprint("end ", i.Attempt, i.Delay, i.Err)) },
		}
		start := time.Now()
		sub := subscribe(t, &counted{}, &client.Options{Backfill: a.backfill, Retry: policy, Trace: trace})
		_, err := data(t, sub, 0)
		sub.Close()
		var stop *client.StopError
		if !errors.As(err, &stop) || stop.Attempts != 3 || time.Since(start) != 2*time.Hour {
			t.Errorf("got the end %v after %v, want a StopError after 3 attempts and 2h", err, time.Since(start))
		}
		no := errUnanswered.Error()
		want(t, "trace", infos, []string{"begin 1 0s <nil>", "end 1 1h0m0s " + no, "begin 2 0s <nil>", "end 2 1h0m0s " + no, "begin 3 0s <nil>", "end 3 0s " + no})
	})
}

// deliver waits for space, so a backfill holds no more than the buffer. Close ends it.
func TestBackfillStaysWithinTheBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{answers: []answer{{items: items("1", "2", "3", "4", "5"), took: 24 * time.Hour}}}
		sub := subscribe(t, &counted{}, &client.Options{Backfill: a.backfill, Buffer: 2})
		time.Sleep(time.Minute)
		if s := sub.Stats(); s.Buffered != 2 || s.Received != 2 || s.State != client.StateFull {
			t.Errorf("Stats: got %+v, want a full buffer of 2", s)
		}
		want(t, "events", handled(t, sub, 5), []string{"1", "2", "3", "4", "5"})
		time.Sleep(time.Minute)
		start := time.Now()
		sub.Close()
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %v, want at most 1s", d)
		}
	})
}

// A deliver that waits, and one that is called too late, fail when the backfill is over.
func TestDeliverFailsAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late func(transport.Message) error
		failed := make(chan error, 2)
		sub := subscribe(t, &counted{conns: []chan transport.Message{conn()}}, &client.Options{Buffer: 1, Backfill: func(_ context.Context, _ client.Gap, deliver func(transport.Message) error) (string, error) {
			late = deliver
			go func() {
				deliver(items("a")[0])
				failed <- deliver(items("b")[0])
			}()
			time.Sleep(time.Minute)
			return "", client.ErrAcceptGap
		}})
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("deliver that waits: got %v, want it canceled", err)
		}
		if err := late(items("c")[0]); !errors.Is(err, context.Canceled) {
			t.Errorf("deliver after the end: got %v, want it canceled", err)
		}
		want(t, "events", handled(t, sub, 1), []string{"a"})
		if s := sub.Stats(); s.Received != 1 {
			t.Errorf("Received: got %d, want 1", s.Received)
		}
		sub.Close()
	})
}

// A deliver of a call that has failed may be called during the next one.
func TestDeliverFailsDuringTheNextCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, failed := 0, make(chan error, 1)
		sub := subscribe(t, &counted{conns: []chan transport.Message{conn()}}, &client.Options{Backfill: func(_ context.Context, _ client.Gap, deliver func(transport.Message) error) (string, error) {
			if calls++; calls > 1 {
				time.Sleep(time.Minute)
				return "", client.ErrAcceptGap
			}
			go func() {
				time.Sleep(10 * time.Second)
				failed <- deliver(items("late")[0])
			}()
			return "", client.RetryAfter(time.Second, errUnanswered)
		}})
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("deliver of the first call: got %v, want it canceled", err)
		}
		sub.Close()
		if s := sub.Stats(); s.Received != 0 {
			t.Errorf("Received: got %d, want 0", s.Received)
		}
	})
}

// Reconnect during a backfill ends the connection and the backfill, and the gap is asked for again.
func TestReconnectDuringABackfill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &counted{conns: []chan transport.Message{conn("a1", "a5"), conn("a6")}}
		a := &archive{answers: []answer{{took: time.Hour}, {err: client.ErrAcceptGap}, {items: items("a3"), took: time.Hour}, {items: items("a4", "a5")}}}
		sub := subscribe(t, feed, &client.Options{SequenceOf: numberOf, Backfill: a.backfill})
		time.Sleep(time.Minute)
		sub.Reconnect()
		time.Sleep(time.Minute)
		sub.Reconnect()
		want(t, "events", handled(t, sub, 5), []string{"a1", "a3", "a4", "a5", "a6"})
		want(t, "questions", a.asked, []string{`start after "", missed 0`, `start after "", missed 0`,
			`sequence jump after "", missed 3`, `sequence jump after "", missed 1`})
		sub.Close()
	})
}

// A token that is returned while a connection is open replaces the connection, and with it the
// message that has revealed the gap.
func TestBackfillMovesAnOpenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{version: 10}
		a := &archive{answers: []answer{{resume: "3"}, {items: items("x"), resume: "8"}}}
		jumps := func(ev client.Event) (string, uint64, bool) {
			n, _ := strconv.Atoi(strings.TrimPrefix(string(ev.Data), "change "))
			if n >= 6 {
				n += 10
			}
			return "", uint64(n), n > 0
		}
		sub := subscribe(t, c, &client.Options{Backfill: a.backfill, SequenceOf: jumps})
		want(t, "events", handled(t, sub, 5), []string{"change 4", "change 5", "x", "change 9", "change 10"})
		want(t, "tokens", c.opened, []string{"3", "8"})
		sub.Close()
	})
}

// If the transport presents no tokens, one that is returned has no effect: the gap before each
// connection is filled once.
func TestBackfillTokenWithoutResumption(t *testing.T) {
	for _, after := range []string{"", "0"} {
		synctest.Test(t, func(t *testing.T) {
			feed := &tokenless{counted{conns: []chan transport.Message{conn("a1"), conn("a3")}}}
			a := &archive{answers: []answer{{resume: "1"}, {items: items("a0"), resume: "1"}, {items: items("a2"), resume: "1"}}}
			questions := []string{`start after "", missed 0`, `no token after "", missed 0`, `no token after "", missed 0`}
			if after != "" {
				a.answers, questions = a.answers[1:], questions[1:]
			}
			sub := subscribe(t, feed, &client.Options{Backfill: a.backfill, StartAfter: after})
			want(t, "events", handled(t, sub, 2), []string{"a0", "a1"})
			sub.Reconnect()
			want(t, "events", handled(t, sub, 2), []string{"a2", "a3"})
			sub.Close()
			if want(t, "questions", a.asked, questions); feed.opened != 2 {
				t.Errorf("got %d connections, want 2", feed.opened)
			}
		})
	}
}

// tokenless is a Transport that presents no tokens.
type tokenless struct{ counted }

func (l *tokenless) Open(ctx context.Context, _ string) (*transport.Session, error) {
	s, err := l.counted.Open(ctx, "")
	if err == nil {
		s.Resumes = false
	}
	return s, err
}

// A connection that is not read for its MaxPause is closed during a backfill, and resumed after it.
func TestBackfillParksTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &ticker{tick: time.Second, start: time.Now(), patience: 30 * time.Second}
		a := &archive{answers: []answer{{resume: "0"}, {items: items("x"), took: time.Hour}}}
		lossy := func(ev client.Event) (string, uint64, bool) {
			n, _ := strconv.Atoi(string(ev.Data))
			if n > 3 {
				n += 5
			}
			return "", uint64(n), n > 0
		}
		sub := subscribe(t, feed, &client.Options{Backfill: a.backfill, SequenceOf: lossy, Buffer: 100})
		time.Sleep(20 * time.Second)
		if n := feed.open(); n != 1 {
			t.Errorf("got %d open connections before MaxPause, want 1", n)
		}
		time.Sleep(time.Minute)
		if n := feed.open(); n != 0 {
			t.Errorf("got %d open connections after MaxPause, want none", n)
		}
		want(t, "events", handled(t, sub, 7), []string{"1", "2", "3", "x", "4", "5", "6"})
		want(t, "questions", a.asked, []string{`start after "", missed 0`, `sequence jump after "3", missed 5`})
		sub.Close()
	})
}

// A server that announces a loss at each resumption does so once, even if the backfill takes longer
// than the connection lasts.
func TestBackfillParksAfterANotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{answers: []answer{{items: items("2", "3"), took: time.Minute}}}
		sub := subscribe(t, announcing{}, &client.Options{StartAfter: "1", Backfill: a.backfill})
		want(t, "events", handled(t, sub, 3), []string{"2", "3", "4"})
		time.Sleep(time.Hour)
		want(t, "questions", a.asked, []string{`notice after "1", missed 2`})
		sub.Close()
	})
}

// announcing is a feed whose oldest event is 4.
type announcing struct{}

func (announcing) Validate() error { return nil }

func (announcing) Open(ctx context.Context, token string) (*transport.Session, error) {
	c := make(chanFeed, 1)
	if token == "1" {
		c <- transport.Message{Data: []byte("4"), Token: "4", Gap: &client.Gap{Reason: transport.GapNotice, Missed: 2}}
	}
	s, err := c.Open(ctx, token)
	s.MaxPause = 10 * time.Second
	return s, err
}

// A gap within a feed that is complete is filled before the end.
func TestBackfillBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("1", "a"), position(""), mock.Drop(), mock.Status(204))
		a := &archive{answers: []answer{{err: client.ErrAcceptGap}, {err: errUnanswered}, {items: items("b")}}}
		sub := subscribe(t, feed, &client.Options{Backfill: a.backfill})
		defer sub.Close()
		got, err := data(t, sub, 0)
		want(t, "events", got, []string{"a", "b"})
		if err != nil {
			t.Errorf("got the end %v, want none", err)
		}
	})
}

// A gap that a handover causes is filled on the successor.
func TestBackfillOnASuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &ticker{tick: time.Second, start: time.Now(), life: time.Minute, warning: 20 * time.Second, live: true}
		var seen atomic.Int64
		sub := subscribe(t, feed, &client.Options{Buffer: 5, SequenceOf: func(ev client.Event) (string, uint64, bool) {
			n, err := strconv.ParseUint(string(ev.Data), 10, 64)
			return "", n, err == nil
		}, Backfill: func(_ context.Context, g client.Gap, deliver func(transport.Message) error) (string, error) {
			if g.Reason == transport.GapStart {
				return "", nil
			}
			now := int(time.Since(feed.start) / feed.tick)
			for n := int(seen.Load()) + 1; n <= now+lateTicks; n++ {
				time.Sleep(time.Until(feed.start.Add(time.Duration(n) * feed.tick)))
				if err := deliver(transport.Message{Data: strconv.AppendInt(nil, int64(n), 10)}); err != nil {
					return "", err
				}
			}
			return "", nil
		}})
		for ev := range sub.Events() {
			if ev.Gap != nil {
				t.Fatalf("%s: got a gap (%s), want none", ev.Data, ev.Gap.Reason)
			}
			n := tickOf(t, ev)
			last := int(seen.Load())
			if n > last+1 {
				t.Fatalf("got %d after %d, want the next one", n, last)
			}
			if seen.Store(int64(max(last, n))); n > 1000 {
				break
			}
			if n%100 == 50 {
				time.Sleep(30 * time.Second) // the buffer is full during a handover
			}
		}
		sub.Close()
		if s := sub.Stats(); s.Connections < 10 || s.Gaps == 0 {
			t.Errorf("Stats: got %+v, want handovers and gaps", s)
		}
	})
}

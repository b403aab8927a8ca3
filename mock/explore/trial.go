package explore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/bridge"
	"github.com/steadfeed/steadfeed/mock/internal/wait"
)

// A Trial is one run of a scenario: it provides the feed and the store, and collects failures.
// It implements [mock.TB], so that Feed.Verify can report to it. The scenario must use it instead of
// its *testing.T, which would fail permanently while Run searches for the smallest failure.
// All methods except Processes may be called from any goroutine.
type Trial struct {
	Feed     *mock.Feed     // plays the script with the faults of the feed
	Store    *mock.Store    // its calls meet the faults of the store
	Observed *mock.Observed // for the events that the consumer receives
	Rand     *rand.Rand     // seeded, for the scenario's own choices; for one goroutine

	ctx       context.Context
	cancel    context.CancelCauseFunc
	start     time.Time
	ends      schedule
	processes int

	mu       sync.Mutex
	errs     []string
	lines    []logLine
	instant  time.Time // of the last attempt
	attempts int       // attempts at that instant
}

func newTrial(seed uint64) *Trial {
	return &Trial{
		Store: new(mock.Store), Observed: new(mock.Observed), Rand: rand.New(rand.NewPCG(seed, 2)),
	}
}

var (
	errTrialOver   = errors.New("explore: trial has ended")
	errStopped     = errors.New("explore: process stopped")
	errUnreachable = errors.New("explore: store unreachable")
)

// begin prepares the trial, inside the bubble.
func (t *Trial) begin(o Options, s schedule) {
	t.start = time.Now()
	t.Feed = mock.NewFeed(s.script(o.Script)...)
	t.ends = s.processEnds()
	store := bridge.StoreOf(t.Store)
	s.plan(func(p planned) *mock.Fault { return p.load }, store.PassLoads, t.Store.OnLoad)
	s.plan(func(p planned) *mock.Fault { return p.save }, store.PassSaves, t.Store.OnSave)
	for _, owner := range []any{t.Feed, t.Store, t.Observed} {
		*bridge.HooksOf(owner) = bridge.Hooks{Log: t.logf, Attempt: t.throttle}
	}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	if o.Limit < 0 {
		return
	}
	late := time.AfterFunc(o.Limit, func() {
		t.Errorf("the scenario is still running after %v (Options.Limit)", o.Limit)
		t.cancel(errTrialOver)
	})
	context.AfterFunc(t.ctx, func() { late.Stop() })
}

func (t *Trial) end() { t.cancel(errTrialOver) }

// Context returns a context that is canceled when the trial ends, at the latest after Limit.
func (t *Trial) Context() context.Context { return t.ctx }

// Processes yields one context for each process of the scenario, one process at a time. The loop
// body runs the process until it ends, and breaks when nothing is left to do. The context is
// canceled when the schedule stops or kills the process. A second after a process has ended,
// the next one starts. While a process is being killed, none of its calls reaches the Store:
// what it has not saved is lost. No process is stopped or killed before the Store has a record,
// because the next one could not know where to start.
func (t *Trial) Processes() iter.Seq[context.Context] {
	return func(yield func(context.Context) bool) {
		for t.ctx.Err() == nil && t.runProcess(yield) {
			wait.For(t.ctx, time.Second)
		}
	}
}

// runProcess runs one process. It reports whether another one must follow.
func (t *Trial) runProcess(yield func(context.Context) bool) bool {
	ctx, stop := context.WithCancelCause(t.ctx)
	defer stop(errStopped)
	t.processes++
	t.logf("process %d starts", t.processes)
	if len(t.ends) > 0 {
		end := t.ends[0]
		t.ends = t.ends[1:]
		cut := &mock.Fault{Count: -1, Err: errUnreachable}
		defer cut.Remove()
		defer t.scheduleEnd(end, cut, stop)()
	}
	return yield(ctx)
}

// scheduleEnd ends a process at its time, but not before the store has a record for the next one
// to resume from. The returned function must be called after the process has ended.
func (t *Trial) scheduleEnd(end planned, cut *mock.Fault, stop context.CancelCauseFunc) (ended func()) {
	store := bridge.StoreOf(t.Store)
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		if !store.Used() {
			timer.Reset(time.Second)
			return
		}
		if end.kill {
			store.Precede(cut)
		}
		t.logf("%s", end.text)
		stop(errStopped)
	})
	timer.Reset(max(end.after, wait.AtOnce)) // only now: its function uses timer
	return func() {
		if !timer.Stop() {
			bridge.FeedOf(t.Feed).Pass(end.away)
		}
	}
}

// Errorf reports a failure of the scenario.
func (t *Trial) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.logf("failure: %s", firstLine(text))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errs = append(t.errs, text)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// logf adds a line to the timeline, with the time since the trial started.
func (t *Trial) logf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	at := ""
	if !t.start.IsZero() {
		at = time.Since(t.start).Round(time.Millisecond).String()
	}
	t.lines = append(t.lines, logLine{fmt.Sprintf("%-10s %s", at, line), isRoutine(line)})
}

// A logLine is one line of the timeline.
type logLine struct {
	text    string
	routine bool // it reports normal operation
}

// isRoutine reports whether a line reports normal operation.
func isRoutine(line string) bool {
	for _, begin := range []string{"feed: event ", "feed: silence ", "seen: ", "store: load, ", "store: save, "} {
		if strings.HasPrefix(line, begin) {
			return true
		}
	}
	return false
}

// maxAttempts is the number of attempts at one instant that shows a loop without a delay.
const maxAttempts = 100

// throttle delays an attempt if there are too many at one instant, so that the bubble's time
// advances.
func (t *Trial) throttle() {
	now := time.Now()
	t.mu.Lock()
	if !now.Equal(t.instant) {
		t.instant, t.attempts = now, 0
	}
	t.attempts++
	n := t.attempts
	t.mu.Unlock()
	if n == maxAttempts {
		t.Errorf("%d attempts to connect without a delay", maxAttempts)
	}
	if n >= maxAttempts {
		wait.For(t.ctx, time.Minute)
	}
}

// checkScript reports events that were never played.
func (t *Trial) checkScript() {
	if left := bridge.FeedOf(t.Feed).Left(); left > 0 {
		t.Errorf("the scenario returned with %d events left in the script", left)
	}
}

func (t *Trial) failed() bool { return len(t.errors()) > 0 }

func (t *Trial) errors() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.errs)
}

const (
	timelineAround = 5  // lines shown before and after one that is not routine
	timelineEnds   = 40 // lines shown at the start and at the end of a longer timeline
)

// timeline returns what happened, without the lines far from any fault.
func (t *Trial) timeline() (shown []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	skipped := 0
	for i, l := range t.lines {
		around := t.lines[max(0, i-timelineAround):min(len(t.lines), i+timelineAround+1)]
		if !slices.ContainsFunc(around, func(l logLine) bool { return !l.routine }) {
			skipped++
			continue
		}
		if skipped > 0 {
			shown = append(shown, fmt.Sprintf("... %d lines of normal operation", skipped))
			skipped = 0
		}
		shown = append(shown, l.text)
	}
	if cut := len(shown) - 2*timelineEnds; cut > 0 {
		shown = slices.Replace(shown, timelineEnds, timelineEnds+cut, fmt.Sprintf("... %d lines", cut))
	}
	return shown
}

package mock

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
)

// A Trial is one run of a scenario: what it plays with, and where it reports. It is a
// [TB], so that Feed.Verify can report to it. The scenario uses it instead of its
// *testing.T, which would fail for good while Explore is looking for the smallest
// failure. All methods but Lives may be called from any goroutine.
type Trial struct {
	Feed  *Feed      // plays the script with the faults in it
	Store *Store     // whose calls meet the others
	Seen  *Seen      // for what the consumer is given
	Rand  *rand.Rand // from the seed, for choices of the scenario's own; for one goroutine

	ctx    context.Context
	cancel context.CancelCauseFunc
	start  time.Time
	deaths schedule
	lives  int

	mu      sync.Mutex
	errs    []string
	lines   []logLine
	instant time.Time // of the last attempt
	hurry   int       // attempts at that instant
}

func newTrial(seed uint64) *Trial {
	return &Trial{
		Store: NewStore(), Seen: new(Seen), Rand: rand.New(rand.NewPCG(seed, 2)),
	}
}

var (
	errTrialOver   = errors.New("mock: the trial is over")
	errStopped     = errors.New("mock: the process is stopped")
	errUnreachable = errors.New("mock: the store cannot be reached")
)

// begin sets everything up, inside the bubble.
func (t *Trial) begin(e Exploration, s schedule) {
	t.start = time.Now()
	t.Feed = NewFeed(s.script(e.Script)...)
	t.deaths = s.deaths()
	for _, f := range s.faults(func(p planned) *Fault { return p.load }) {
		t.Store.OnLoad(f)
	}
	for _, f := range s.faults(func(p planned) *Fault { return p.save }) {
		t.Store.OnSave(f)
	}
	t.Feed.note, t.Feed.meet, t.Store.note, t.Seen.note = t.Logf, t.meet, t.Logf, t.Logf
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	if e.Limit < 0 {
		return
	}
	late := time.AfterFunc(e.Limit, func() {
		t.Errorf("the scenario is not over after %v", e.Limit)
		t.cancel(errTrialOver)
	})
	context.AfterFunc(t.ctx, func() { late.Stop() })
}

func (t *Trial) end() { t.cancel(errTrialOver) }

// Context returns a context that ends with the trial, at the latest at the Limit.
func (t *Trial) Context() context.Context { return t.ctx }

// Lives plays the processes of the scenario, one after the other: each has the context
// that is yielded, which ends when the schedule stops or kills it. The body runs the
// process to its end, and leaves the loop when there is nothing more to do. A process that
// ends by itself is started again a second later. While one is being killed, none of its
// calls reaches the Store: what it has not saved is lost. None is stopped or killed before
// there is a record in the Store, because the next one could not know where to begin.
func (t *Trial) Lives() iter.Seq[context.Context] {
	return func(yield func(context.Context) bool) {
		for t.ctx.Err() == nil && t.live(yield) {
			pause(t.ctx, nil, time.Now().Add(time.Second))
		}
	}
}

// live plays one process. It reports whether there is to be another one.
func (t *Trial) live(yield func(context.Context) bool) bool {
	ctx, stop := context.WithCancelCause(t.ctx)
	defer stop(errStopped)
	t.lives++
	t.Logf("process %d begins", t.lives)
	if len(t.deaths) > 0 {
		death := t.deaths[0]
		t.deaths = t.deaths[1:]
		cut := &Fault{Count: -1, Err: errUnreachable}
		defer cut.Remove()
		defer t.die(death, cut, stop)()
	}
	return yield(ctx)
}

// die ends a process when its time has come, but not before there is something in the
// store for the next one to go on with. The function that it returns is called behind the
// end of the process.
func (t *Trial) die(death planned, cut *Fault, stop context.CancelCauseFunc) (ended func()) {
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		if !t.Store.used() {
			timer.Reset(time.Second)
			return
		}
		if death.kill {
			t.Store.cutOff(cut)
		}
		t.Logf("%s", death.text)
		stop(errStopped)
	})
	timer.Reset(max(death.life, atOnce)) // not before its function can see the variable
	return func() {
		if !timer.Stop() {
			t.Feed.meanwhile(death.away)
		}
	}
}

// meanwhile plays the next n events for those who come later.
func (f *Feed) meanwhile(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pass(n)
}

// Errorf reports a failure of the scenario.
func (t *Trial) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.Logf("failure: %s", firstLine(text))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errs = append(t.errs, text)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// Helper does nothing: a trial does not say where it was called.
func (t *Trial) Helper() {}

// Logf adds a line to what happened, with the time since the trial began.
func (t *Trial) Logf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	at := ""
	if !t.start.IsZero() {
		at = time.Since(t.start).Round(time.Millisecond).String()
	}
	t.lines = append(t.lines, logLine{fmt.Sprintf("%-10s %s", at, line), isDull(line)})
}

// A logLine is one line of what happened.
type logLine struct {
	text string
	dull bool // it says that all is well
}

// isDull tells whether a line says that all is well.
func isDull(line string) bool {
	for _, begin := range []string{"feed: event ", "feed: silence ", "seen: ", "store: load, ", "store: save, "} {
		if strings.HasPrefix(line, begin) {
			return true
		}
	}
	return false
}

// impetuous is how many attempts at one instant are a loop without a delay.
const impetuous = 100

// meet lets an attempt wait if there are too many, so that the time of the bubble goes on.
func (t *Trial) meet() {
	now := time.Now()
	t.mu.Lock()
	if !now.Equal(t.instant) {
		t.instant, t.hurry = now, 0
	}
	t.hurry++
	hurry := t.hurry
	t.mu.Unlock()
	if hurry == impetuous {
		t.Errorf("%d attempts to connect without any delay", impetuous)
	}
	if hurry >= impetuous {
		pause(t.ctx, nil, now.Add(time.Minute))
	}
}

// checkScript looks for events that nobody has asked for.
func (t *Trial) checkScript() {
	t.Feed.mu.Lock()
	left := 0
	for _, s := range t.Feed.script {
		if s.isEvent() && !t.Feed.complete {
			left++
		}
	}
	t.Feed.mu.Unlock()
	if left > 0 {
		t.Errorf("the scenario was over while %d events were still to come", left)
	}
}

func (t *Trial) failed() bool { return len(t.errors()) > 0 }

func (t *Trial) errors() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.errs)
}

const (
	timelineAround = 5  // lines that are shown before and behind one that is not dull
	timelineEnds   = 40 // of what is still too long, so much of the beginning and of the end is shown
)

// timeline is what happened, without what is far from any fault.
func (t *Trial) timeline() (shown []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	skipped := 0
	for i, l := range t.lines {
		around := t.lines[max(0, i-timelineAround):min(len(t.lines), i+timelineAround+1)]
		if !slices.ContainsFunc(around, func(l logLine) bool { return !l.dull }) {
			skipped++
			continue
		}
		if skipped > 0 {
			shown = append(shown, fmt.Sprintf("... %d lines on which all is well", skipped))
			skipped = 0
		}
		shown = append(shown, l.text)
	}
	if cut := len(shown) - 2*timelineEnds; cut > 0 {
		shown = slices.Replace(shown, timelineEnds, timelineEnds+cut, fmt.Sprintf("... %d lines", cut))
	}
	return shown
}

package explore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/transport"
)

// in is the Bubble of Options.
func in(t *testing.T) func(func()) {
	return func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }
}

// reports is a mock.TB that keeps what is reported.
type reports []string

func (r *reports) Errorf(format string, args ...any) { *r = append(*r, fmt.Sprintf(format, args...)) }

// A worker is a handwritten consumer: it saves the id of each event after it. Each of its bugs
// can be switched on.
type worker struct {
	bug    string
	trial  *explore.Trial
	token  string
	opened int
}

func (w *worker) live(ctx context.Context) (done bool) {
	data, version, err := w.trial.Store.Load(ctx, "position")
	if err != nil {
		return false
	}
	w.token = string(data)
	if w.save(ctx, w.token, &version) != nil {
		return false // what was loaded is out of date
	}
	for ctx.Err() == nil {
		switch err := w.connect(ctx, &version); {
		case errors.Is(err, transport.ErrComplete):
			return true
		case errors.Is(err, errSave):
			return false // the next process reads it back
		case w.bug == "forgets its token after a 503" && status(err) == 503:
			w.token = ""
		case w.bug == "gives up after a refusal" && errors.As(err, new(interface{ Temporary() bool })):
			return true
		case w.bug == "never returns after a 503" && status(err) == 503:
			<-make(chan int)
		case w.bug == "leaves a goroutine after a 503" && status(err) == 503:
			go func() { <-make(chan int) }()
		case w.bug == "panics at a 503" && status(err) == 503:
			panic("no such status")
		}
		if w.bug != "never waits" {
			wait(ctx, time.Second)
		}
	}
	return false
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func status(err error) int {
	var s *transport.StatusError
	if errors.As(err, &s) {
		return s.Code
	}
	return 0
}

var errSave = errors.New("not saved")

func (w *worker) connect(ctx context.Context, version *string) error {
	c, err := w.trial.Feed.Open(ctx, w.token)
	if err != nil {
		return err
	}
	defer c.Close()
	w.opened++
	for {
		m, err := wiretest.ReadFrom(c)
		if err != nil {
			return err
		}
		if m.Kind != decode.KindData {
			continue
		}
		if w.bug == "saves before it works" {
			if err := w.save(ctx, m.ID, version); err != nil {
				return err
			}
			wait(ctx, 100*time.Millisecond)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if w.bug == "loses the first event of its third connection" && w.opened == 3 {
			w.opened++
			w.token = m.ID
			continue
		}
		w.trial.Observed.Add(m.ID, m.Data, m.Gap)
		w.token = m.ID
		if err := w.save(ctx, m.ID, version); err != nil {
			return err
		}
	}
}

func (w *worker) save(ctx context.Context, token string, version *string) (err error) {
	if *version, err = w.trial.Store.Save(ctx, "position", []byte(token), *version); err != nil {
		return errSave
	}
	return nil
}

// work returns the scenario of a worker with a bug.
func work(bug string) func(*explore.Trial) {
	return func(trial *explore.Trial) {
		w := worker{bug: bug, trial: trial}
		for ctx := range trial.Processes() {
			if w.live(ctx) {
				break
			}
		}
		trial.Feed.Verify(trial, trial.Observed)
	}
}

func TestCorrectConsumerPasses(t *testing.T) {
	explore.Run(t, explore.Options{Bubble: in(t), Runs: 60}, work(""))
}

var again = regexp.MustCompile(`\nto reproduce: Seed: (\d+), Runs: 1, Only: \[\]int\{([\d, ]*)\}\n$`)

// repeat returns the Options of a report.
func repeat(t *testing.T, report string) explore.Options {
	t.Helper()
	m := again.FindStringSubmatch(report)
	if m == nil {
		t.Fatalf("got a report without Options:\n%s", report)
	}
	seed, _ := strconv.ParseUint(m[1], 10, 64)
	e := explore.Options{Bubble: in(t), Seed: seed, Runs: 1, Only: []int{}}
	for n := range strings.SplitSeq(m[2], ", ") {
		if n, err := strconv.Atoi(n); err == nil {
			e.Only = append(e.Only, n)
		}
	}
	return e
}

// Each bug is found, reproduced, and reduced to the faults that it needs.
func TestBugsAreFoundAndReduced(t *testing.T) {
	for _, tt := range []struct {
		bug  string
		most int    // faults that are enough
		want string // in the report
	}{
		{"forgets its token after a 503", 2, "missing"},
		{"saves before it works", 3, "missing"},
		{"loses the first event of its third connection", 2, "1 missing"},
		{"gives up after a refusal", 1, "events left in the script"},
		{"panics at a 503", 1, "panic: no such status"},
		{"never waits", 1, "100 attempts to connect without a delay"},
	} {
		var found reports
		explore.Run(&found, explore.Options{Bubble: in(t), Runs: 1000}, work(tt.bug))
		if len(found) != 1 || !strings.Contains(found[0], tt.want) {
			t.Errorf("%s: got %d reports, want one:\n%s", tt.bug, len(found), strings.Join(found, "\n"))
			continue
		}
		if strings.Count(found[0], "\n") > 110 || tt.most > 1 && !strings.Contains(found[0], "lines of normal operation") {
			t.Errorf("%s: got a long report, want at most 110 lines and the rest counted:\n%s", tt.bug, found[0])
		}
		e := repeat(t, found[0])
		if len(e.Only) == 0 || len(e.Only) > tt.most {
			t.Errorf("%s: got %d faults, want at most %d", tt.bug, len(e.Only), tt.most)
		}
		if !strings.Contains(found[0], "it failed in 5 out of 5 repetitions") {
			t.Errorf("%s: got a report that is not reproducible, want 5 failures in 5 repetitions", tt.bug)
		}
		var second reports
		explore.Run(&second, e, work(tt.bug))
		if len(second) != 1 || !strings.Contains(second[0], tt.want) {
			t.Errorf("%s, repeated: got %q, want one report of %q", tt.bug, second, tt.want)
		}
		for i := range e.Only {
			less := e
			less.Only = append(append([]int{}, e.Only[:i]...), e.Only[i+1:]...)
			var none reports
			if explore.Run(&none, less, work(tt.bug)); none != nil {
				t.Errorf("%s: got a failure without fault %d too, want it to be needed", tt.bug, e.Only[i])
			}
		}
	}
}

// A consumer that never returns is found too. Its goroutine remains, so the test runs in a child
// process.
func TestConsumerThatNeverReturns(t *testing.T) {
	const env = "MOCK_EXPLORE_BUG"
	if bug := os.Getenv(env); bug != "" {
		explore.Run(t, explore.Options{Bubble: in(t)}, work(bug))
		return
	}
	for bug, want := range map[string]string{
		"never returns after a 503":      "deadlock: all goroutines in bubble are blocked",
		"leaves a goroutine after a 503": "deadlock: main bubble goroutine has exited but blocked goroutines remain",
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=60s")
		cmd.Env = append(os.Environ(), env+"="+bug)
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), want) || !strings.Contains(string(out), "to reproduce: Seed: ") {
			t.Errorf("%s: got %.3000s\nwant a report of a %s", bug, out, want)
		}
	}
}

// The same seed yields the same schedule and the same report.
func TestSameSeedSameReport(t *testing.T) {
	var first, second reports
	for _, r := range []*reports{&first, &second} {
		explore.Run(r, explore.Options{Bubble: in(t), Seed: 7, Runs: 1000}, work("forgets its token after a 503"))
	}
	if len(first) != 1 || len(second) != 1 || first[0] != second[0] {
		t.Errorf("got:\n%s\nand:\n%s\nwant the same report twice", first, second)
	}
}

// A consumer without a token loses the events that are sent while it is not connected.
func TestConsumerWithoutResume(t *testing.T) {
	var found reports
	explore.Run(&found, explore.Options{Bubble: in(t)}, func(trial *explore.Trial) {
		for trial.Context().Err() == nil {
			c, err := trial.Feed.Open(trial.Context(), "")
			for err == nil {
				var m transport.Message
				if m, err = wiretest.ReadFrom(c); err == nil && m.Kind == decode.KindData {
					trial.Observed.Add(m.ID, m.Data, m.Gap)
				}
			}
			if err == transport.ErrComplete {
				break
			}
			wait(trial.Context(), time.Second)
		}
		trial.Feed.Verify(trial, trial.Observed)
	})
	if len(found) != 1 || !strings.Contains(found[0], "missing") || !strings.Contains(found[0], "1 of ") {
		t.Errorf("got reports %q, want one about missing events", found)
	}
}

func TestRunningScenarioIsReported(t *testing.T) {
	var found reports
	explore.Run(&found, explore.Options{Bubble: in(t), Limit: time.Minute}, func(trial *explore.Trial) {
		<-trial.Context().Done()
		if err := context.Cause(trial.Context()); err == nil || err == context.Canceled {
			trial.Errorf("the cause is %v", err)
		}
	})
	if len(found) != 1 || !strings.Contains(found[0], "the scenario is still running after 1m0s") || !strings.Contains(found[0], "0 of ") || strings.Contains(found[0], "the cause is") {
		t.Errorf("got reports %q, want one that the scenario is still running", found)
	}
}

// A failure that does not recur is reported as it was.
func TestFailureThatDoesNotRecur(t *testing.T) {
	runs := 0
	found := new(reports)
	explore.Run(found, explore.Options{Bubble: in(t), Script: []mock.Step{}, Runs: 1}, func(trial *explore.Trial) {
		if runs++; runs == 1 {
			trial.Errorf("event %d is lost", 7)
		}
	})
	if len(*found) != 1 || !strings.Contains((*found)[0], "in 0 out of 5 repetitions") || !strings.Contains((*found)[0], "event 7 is lost") {
		t.Errorf("got the reports %q, want one with the first failure", *found)
	}
}

func TestBubbleIsRequired(t *testing.T) {
	var found reports
	explore.Run(&found, explore.Options{}, func(*explore.Trial) { t.Error("got a call of the scenario, want none") })
	if fmt.Sprint(found) != "[explore: Options.Bubble: must be set]" {
		t.Errorf("got reports %q, want one that Options.Bubble must be set", found)
	}
}

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

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/transport"
)

// in is the Bubble of an Exploration.
func in(t *testing.T) func(func()) {
	return func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }
}

// reports is a mock.TB that keeps what is reported.
type reports []string

func (r *reports) Helper()                           {}
func (r *reports) Errorf(format string, args ...any) { *r = append(*r, fmt.Sprintf(format, args...)) }

// A worker is a consumer as somebody might write it by hand: it saves the id of each
// event behind it. Each of its bugs can be switched on.
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
		case errors.Is(err, transport.ErrEnd):
			return true
		case errors.Is(err, errSave):
			return false // the next process reads it back
		case w.bug == "forgets its token after a 503" && status(err) == 503:
			w.token = ""
		case w.bug == "gives up after a refusal" && errors.As(err, new(interface{ Temporary() bool })):
			return true
		case w.bug == "waits for ever after a 503" && status(err) == 503:
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
		m, err := readFrom(c)
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

// work is the scenario of a worker.
func work(bug string) func(*explore.Trial) {
	return func(trial *explore.Trial) {
		w := worker{bug: bug, trial: trial}
		for ctx := range trial.Processes() {
			if w.live(ctx) {
				break
			}
		}
		trial.Feed.Verify(trial, trial.Observed, mock.AtLeastOnce|mock.InOrder)
	}
}

func TestExploreFindsNothingInASoundConsumer(t *testing.T) {
	explore.Run(t, explore.Options{Bubble: in(t), Runs: 200}, work(""))
}

// The client keeps its promises in whatever Explore comes up with.
func TestExploreClient(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		explore.Run(t, explore.Options{Bubble: in(t), Runs: 150, Lossy: lossy, Faults: 20}, subscribe(nil, func(feed *mock.Feed) (transport.Transport, func()) {
			return feed, func() {}
		}))
	}
}

// On a wire, connections may fall silent as well.
func TestExploreClientOnAWire(t *testing.T) {
	e := explore.Options{Bubble: in(t), Runs: 60, Stalls: true}
	explore.Run(t, e, subscribe(nil, func(feed *mock.Feed) (transport.Transport, func()) {
		srv := mock.NewServer(feed.SSE())
		return &transport.HTTP{URL: "http://feed.test", Client: srv.Client()}, func() { srv.Close() }
	}))
	explore.Run(t, e, subscribe(client.Field("id"), func(feed *mock.Feed) (transport.Transport, func()) {
		srv := mock.NewServer(feed.WebSocket(nil, nil))
		return &transport.WebSocket{
			URL: "ws://feed.test", Client: srv.Client(), EOF: transport.EOFEnds, IdleTimeout: time.Minute,
			Resume: transport.ResumeQuery("since"),
		}, func() { srv.Close() }
	}))
}

// The same with checkpoints in files: a worker that is stopped at any time, and goes on where
// its file says.
func TestExploreClientWithFiles(t *testing.T) {
	lives := 0
	explore.Run(t, explore.Options{Bubble: in(t), Runs: 15, Stalls: true}, func(trial *explore.Trial) {
		srv := mock.NewServer(trial.Feed.SSE())
		defer srv.Close()
		store := client.FileStore(t.TempDir())
		for done := false; !done; lives++ {
			ctx, stop := context.WithTimeout(trial.Context(), time.Duration(trial.Rand.Int64N(int64(time.Minute))))
			sub, err := client.Subscribe(ctx, &transport.HTTP{URL: "http://feed.test", Client: srv.Client()},
				&client.Options{Name: "n", Store: store})
			if err == nil {
				done = consume(sub, trial.Observed)
			}
			stop()
		}
		trial.Feed.Verify(trial, trial.Observed, mock.AtLeastOnce|mock.InOrder)
	})
	if lives < 22 {
		t.Errorf("%d lives in 15 runs: no process was stopped", lives)
	}
}

// subscribe is the scenario of the client, as a worker that is started again and again.
func subscribe(token func(client.Event) string, wire func(*mock.Feed) (transport.Transport, func())) func(*explore.Trial) {
	return func(trial *explore.Trial) {
		tr, stop := wire(trial.Feed)
		defer stop()
		for ctx := range trial.Processes() {
			sub, err := client.Subscribe(ctx, tr, &client.Options{Name: "n", Store: trial.Store, Token: token})
			if err == nil && consume(sub, trial.Observed) {
				break
			}
		}
		trial.Feed.Verify(trial, trial.Observed, mock.AtLeastOnce|mock.InOrder)
	}
}

// consume reports whether the feed is complete.
func consume(sub *client.Subscription, seen *mock.Observed) bool {
	defer sub.Close()
	for ev, err := range sub.Events() {
		var gap *client.Gap
		switch {
		case err == nil:
			seen.Add(ev.ID, ev.Data, ev.Gap)
		case errors.As(err, &gap):
			seen.Add("", nil, gap) // behind the last event
			return true
		default:
			return false
		}
	}
	return true
}

var again = regexp.MustCompile(`\nto reproduce: Seed: (\d+), Runs: 1, Only: \[\]int\{([\d, ]*)\}\n$`)

// repeat is the Exploration that a report names.
func repeat(t *testing.T, report string) explore.Options {
	t.Helper()
	m := again.FindStringSubmatch(report)
	if m == nil {
		t.Fatalf("the report does not say how to repeat it:\n%s", report)
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

// Each bug is found, repeated, and brought down to the faults that it needs.
func TestExploreFindsRepeatsAndShrinks(t *testing.T) {
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
			t.Errorf("%s: %d reports\n%s", tt.bug, len(found), strings.Join(found, "\n"))
			continue
		}
		if strings.Count(found[0], "\n") > 110 || tt.most > 1 && !strings.Contains(found[0], "lines of normal operation") {
			t.Errorf("%s: the report is long:\n%s", tt.bug, found[0])
		}
		e := repeat(t, found[0])
		if len(e.Only) == 0 || len(e.Only) > tt.most {
			t.Errorf("%s: %d faults are left, want %d at most", tt.bug, len(e.Only), tt.most)
		}
		if !strings.Contains(found[0], "it failed in 5 out of 5 repetitions") {
			t.Errorf("%s: it does not repeat", tt.bug)
		}
		var second reports
		explore.Run(&second, e, work(tt.bug))
		if len(second) != 1 || !strings.Contains(second[0], tt.want) {
			t.Errorf("%s, repeated: %q", tt.bug, second)
		}
		for i := range e.Only {
			less := e
			less.Only = append(append([]int{}, e.Only[:i]...), e.Only[i+1:]...)
			var none reports
			if explore.Run(&none, less, work(tt.bug)); none != nil {
				t.Errorf("%s: it fails without fault %d as well", tt.bug, e.Only[i])
			}
		}
	}
}

// Who waits for ever is found, too. It is left behind for good, and so this happens in a
// process of its own.
func TestExploreFindsWhatNeverEnds(t *testing.T) {
	const env = "MOCK_EXPLORE_BUG"
	if bug := os.Getenv(env); bug != "" {
		explore.Run(t, explore.Options{Bubble: in(t)}, work(bug))
		return
	}
	for bug, want := range map[string]string{
		"waits for ever after a 503":     "deadlock: all goroutines in bubble are blocked",
		"leaves a goroutine after a 503": "deadlock: main bubble goroutine has exited but blocked goroutines remain",
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=60s")
		cmd.Env = append(os.Environ(), env+"="+bug)
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), want) || !strings.Contains(string(out), "to reproduce: Seed: ") {
			t.Errorf("%s: %.3000s", bug, out)
		}
	}
}

// The same seed is the same schedule, and the report the same text.
func TestExploreIsRepeatable(t *testing.T) {
	var first, second reports
	for _, r := range []*reports{&first, &second} {
		explore.Run(r, explore.Options{Bubble: in(t), Seed: 7, Runs: 1000}, work("forgets its token after a 503"))
	}
	if len(first) != 1 || len(second) != 1 || first[0] != second[0] {
		t.Errorf("first:\n%s\nsecond:\n%s", first, second)
	}
}

// Without a token a consumer loses what happens while it is not connected.
func TestExploreFindsWhoDoesNotResume(t *testing.T) {
	var found reports
	explore.Run(&found, explore.Options{Bubble: in(t)}, func(trial *explore.Trial) {
		for trial.Context().Err() == nil {
			c, err := trial.Feed.Open(trial.Context(), "")
			for err == nil {
				var m transport.Message
				if m, err = readFrom(c); err == nil && m.Kind == decode.KindData {
					trial.Observed.Add(m.ID, m.Data, m.Gap)
				}
			}
			if err == transport.ErrEnd {
				break
			}
			wait(trial.Context(), time.Second)
		}
		trial.Feed.Verify(trial, trial.Observed, mock.AtLeastOnce)
	})
	if len(found) != 1 || !strings.Contains(found[0], "missing") || !strings.Contains(found[0], "1 of ") {
		t.Errorf("%q", found)
	}
}

// The calls of the store that a schedule names are those that fail.
func TestExploreStoreFaults(t *testing.T) {
	for n := 1; n <= 8; n++ {
		for _, call := range []string{"save", "load"} {
			var found reports
			explore.Run(&found, explore.Options{Bubble: in(t), Runs: 3000, Script: []mock.Step{}}, func(trial *explore.Trial) {
				version := ""
				for i := 1; i <= 8; i++ {
					_, _, loadErr := trial.Store.Load(trial.Context(), "n")
					v, saveErr := trial.Store.Save(trial.Context(), "n", []byte("x"), version)
					if saveErr == nil {
						version = v
					} else {
						_, version = trial.Store.Record("n")
					}
					if i == n && (call == "save" && saveErr != nil || call == "load" && loadErr != nil) {
						trial.Errorf("it fails")
					}
				}
			})
			if len(found) != 1 || !strings.Contains(found[0], "\n1 of ") || !strings.Contains(found[0], fmt.Sprintf(" %s %d fails", call, n)) {
				t.Errorf("%s %d: %s", call, n, strings.Join(found, "\n"))
			}
		}
	}
}

// A process that is stopped can still save, one that is killed cannot; and the feed goes
// on while there is none.
func TestTrialLives(t *testing.T) {
	var saved, lost, played int
	explore.Run(t, explore.Options{Bubble: in(t), Runs: 200, Faults: 40}, func(trial *explore.Trial) {
		if c, err := trial.Feed.Open(trial.Context(), ""); err == nil {
			readFrom(c)
			c.Close()
		}
		key, log := 0, 0
		for ctx := range trial.Processes() {
			if n := len(trial.Feed.Log()); log > 0 && n > log {
				played++
			}
			for range 50 { // past the faults of the store
				key++
				trial.Store.Save(ctx, fmt.Sprint(key), []byte("x"), "")
			}
			wait(ctx, 2*time.Minute)
			if ctx.Err() == nil {
				break
			}
			if _, err := trial.Store.Save(context.Background(), fmt.Sprint("last", key), []byte("x"), ""); err == nil {
				saved++
			} else {
				lost++
			}
			log = len(trial.Feed.Log())
		}
		read := true
		for token := ""; read; { // for the rest of the script
			c, err := trial.Feed.Open(trial.Context(), token)
			for err == nil {
				_, err = readFrom(c)
			}
			read = err != transport.ErrEnd
			wait(trial.Context(), time.Second)
		}
	})
	if saved < 50 || lost < 50 || played < 50 {
		t.Errorf("behind their end %d processes could save and %d could not; the feed went on %d times", saved, lost, played)
	}
}

// A token is rejected only from those who have one.
func TestExploreLossy(t *testing.T) {
	rejected := 0
	explore.Run(t, explore.Options{Bubble: in(t), Runs: 200, Faults: 20, Lossy: true}, func(trial *explore.Trial) {
		w := worker{trial: trial}
		for ctx := range trial.Processes() {
			if w.live(ctx) {
				break
			}
		}
		for _, a := range trial.Feed.Attempts() {
			switch code := status(a.Err); {
			case code == 410 && a.Token == "":
				trial.Errorf("an attempt without a token was rejected")
			case code == 410:
				rejected++
			}
		}
	})
	if rejected < 20 {
		t.Errorf("%d tokens were rejected", rejected)
	}
}

func TestExploreWithoutFaults(t *testing.T) {
	explore.Run(t, explore.Options{Bubble: in(t), Runs: 10, Faults: -1, Limit: -1}, func(trial *explore.Trial) {
		c, err := trial.Feed.Open(trial.Context(), "")
		for err == nil {
			_, err = readFrom(c)
		}
		if err != transport.ErrEnd || len(trial.Feed.Log()) != 20 || len(trial.Feed.Attempts()) != 1 {
			trial.Errorf("%v after %d events", err, len(trial.Feed.Log()))
		}
	})
}

func TestExploreLimit(t *testing.T) {
	var found reports
	explore.Run(&found, explore.Options{Bubble: in(t), Limit: time.Minute}, func(trial *explore.Trial) {
		<-trial.Context().Done()
		if err := context.Cause(trial.Context()); err == nil || err == context.Canceled {
			trial.Errorf("the cause is %v", err)
		}
	})
	if len(found) != 1 || !strings.Contains(found[0], "the scenario is still running after 1m0s") || !strings.Contains(found[0], "0 of ") || strings.Contains(found[0], "the cause is") {
		t.Errorf("%q", found)
	}
}

// What a scenario chooses by Rand is repeated with the seed.
func TestTrialRand(t *testing.T) {
	chosen := make(map[int]bool)
	for range 3 {
		explore.Run(t, explore.Options{Bubble: in(t), Script: []mock.Step{}, Seed: 5, Runs: 1}, func(trial *explore.Trial) {
			chosen[trial.Rand.Int()] = true
		})
	}
	if len(chosen) != 1 {
		t.Errorf("one seed has chosen %d numbers", len(chosen))
	}
}

func TestExploreNeedsABubble(t *testing.T) {
	var found reports
	explore.Run(&found, explore.Options{}, func(*explore.Trial) { t.Error("it was called") })
	if fmt.Sprint(found) != "[explore: Options.Bubble: must be set]" {
		t.Errorf("%q", found)
	}
}

package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

func TestTakeoverOfUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		store.OnSave(&mock.Fault{Applied: true, Err: errors.New("timeout")})
		sub := subscribe(t, script(events("1")), named(store))
		if r := readRecord(t, store); r.Epoch != 1 {
			t.Errorf("epoch after one Subscribe: got %d, want 1", r.Epoch)
		}
		data(t, sub, 1)
		if err := sub.Close(); err != nil || readRecord(t, store).Token != "1" {
			t.Errorf("Close after the takeover: got %v, want nil and token 1 stored", err)
		}
	})
}

func TestNewerSubscriptionFencesTheOlder(t *testing.T) {
	for name, store := range map[string]client.Store{
		"in memory": new(mock.Store),
		"in a file": client.FileStore(t.TempDir()),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := script(events("1", "2", "3", "4"))
				older := subscribe(t, feed, named(store))
				data(t, older, 1)
				if err := older.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				ev, err := older.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				newer := subscribe(t, feed, named(store))
				got, _ := data(t, newer, 2)
				want(t, "the newer one resumes after what was saved", got, []string{"data 2", "data 3"})
				if err := newer.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				before := readRecord(t, store)

				ev.Ack() // in the older one, which has not noticed the newer one yet
				if err := older.Commit(t.Context()); !errors.Is(err, client.ErrFenced) {
					t.Errorf("Commit of the older one: got %v, want %v", err, client.ErrFenced)
				}
				if _, end := data(t, older, 0); !errors.Is(end, client.ErrFenced) {
					t.Errorf("end of the older one: got %v, want %v", end, client.ErrFenced)
				}
				if err := ev.Ack(); !errors.Is(err, client.ErrFenced) {
					t.Errorf("Ack in the older one: got %v, want %v", err, client.ErrFenced)
				}
				if err := older.Close(); !errors.Is(err, client.ErrFenced) {
					t.Errorf("Close of the older one: got %v, want %v", err, client.ErrFenced)
				}
				if after := readRecord(t, store); after != before {
					t.Errorf("record after the older one: got %+v, want %+v", after, before)
				}
				data(t, newer, 1)
				if err := newer.Close(); err != nil || readRecord(t, store).Token != "4" {
					t.Errorf("Close of the newer one: got %v, want nil and token 4 stored", err)
				}
			})
		})
	}
}

// replica subscribes again each time it is fenced, as a supervised process does.
func replica(ctx context.Context, t *testing.T, feed *mock.Feed, o *client.Options) (starts int) {
	for ctx.Err() == nil {
		sub, err := client.Subscribe(ctx, feed, o)
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("Subscribe: %v", err)
			}
			return starts
		}
		starts++
		for range sub.Events() {
		}
		sub.Close()
		time.Sleep(time.Second)
	}
	return starts
}

// Two replicas that restart when they are fenced must not take the record from each other all the
// time, whether their feed is busy or idle.
func TestReplicasOfOneNameSettle(t *testing.T) {
	busy := make([]mock.Step, 0, 2*7200)
	for range 7200 {
		busy = append(busy, mock.Event("", "x"), mock.Pause(500*time.Millisecond))
	}
	for name, steps := range map[string][]mock.Step{"busy": busy, "idle": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				store, feed := new(mock.Store), script(steps)
				o := named(store)
				o.Logger = slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, &slog.HandlerOptions{Level: slog.LevelWarn}))
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				var group sync.WaitGroup
				starts := make([]int, 2)
				for i := range starts {
					group.Go(func() { starts[i] = replica(ctx, t, feed, o) })
				}
				group.Wait()
				if n := starts[0] + starts[1]; n < 3 || n > 30 {
					t.Errorf("got %d starts in an hour, want a few", n)
				}
				if !strings.Contains(log.String(), "contested: run one subscription") {
					t.Errorf("got the log\n%s\nwant the contest", &log)
				}
			})
		})
	}
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}

// crash ends a subscription as a crash does: none of its calls reaches the store any more.
func crash(t *testing.T, store *mock.Store, sub *client.Subscription) {
	t.Helper()
	gone := &mock.Fault{Count: -1, Err: errors.New("crashed")}
	store.OnSave(gone)
	sub.Close()
	gone.Remove()
}

func TestRestartIsPrompt(t *testing.T) {
	for name, c := range map[string]struct {
		restarts int
		crash    bool
		pause    time.Duration
		want     time.Duration
	}{
		"clean restarts":                    {50, false, 0, 0},
		"three crashes":                     {3, true, 0, 0},
		"a crash now and then":              {50, true, 16 * time.Minute, 0},
		"a fourth crash in a short time":    {4, true, 0, 4 * time.Second},
		"a crash after one hour of crashes": {60, true, time.Minute, time.Minute + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, last := new(mock.Store), time.Duration(0)
				for range c.restarts + 1 {
					start := time.Now()
					sub := subscribe(t, script(), named(store))
					last = time.Since(start)
					if c.crash {
						crash(t, store, sub)
					} else {
						sub.Close()
					}
					time.Sleep(c.pause)
				}
				if last > c.want || c.want > 0 && last == 0 {
					t.Errorf("the last Subscribe took %v, want at most %v", last, c.want)
				}
			})
		})
	}
}

// contest makes a record that was taken over by processes that crashed, and finally by one that is
// alive.
func contest(t *testing.T, store *mock.Store, takeovers int) *client.Subscription {
	t.Helper()
	for range takeovers {
		crash(t, store, subscribe(t, script(), named(store)))
	}
	return subscribe(t, script(), named(store))
}

// The newcomer takes over when the owner closes, when it crashes, and after some time in any case.
func TestNewcomerWaitsForALivingOwner(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(t *testing.T, store *mock.Store, owner *client.Subscription)
		want time.Duration // at most, after it
		long time.Duration // at least
	}{
		"the owner closes":  {func(t *testing.T, _ *mock.Store, s *client.Subscription) { s.Close() }, 2 * time.Second, 0},
		"the owner crashes": {crash, 7 * time.Second, 0},
		"the owner lives":   {func(*testing.T, *mock.Store, *client.Subscription) {}, time.Minute, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(mock.Store)
				owner := contest(t, store, 4)
				defer owner.Close()
				over := make(chan time.Time, 1)
				var group sync.WaitGroup
				group.Go(func() {
					sub := subscribe(t, script(), named(store))
					over <- time.Now()
					sub.Close()
				})
				time.Sleep(5500 * time.Millisecond)
				if len(over) > 0 {
					t.Fatal("got a takeover from a living owner without waiting, want a wait")
				}
				ended := time.Now()
				c.end(t, store, owner)
				if took := (<-over).Sub(ended); took > c.want || took < c.long {
					t.Errorf("took over %v after that, want %v to %v", took, c.long, c.want)
				}
				group.Wait()
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // the wait ends with the context
		store := new(mock.Store)
		owner := contest(t, store, 4)
		defer owner.Close()
		stop := errors.New("SIGTERM")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second/2, func() { cancel(stop) })
		var failed *client.CheckpointError
		_, err := client.Subscribe(ctx, script(), named(store))
		if !errors.As(err, &failed) || !errors.Is(err, stop) {
			t.Errorf("Subscribe: %v, want a CheckpointError with the cause of the context", err)
		}
	})
}

// Reads that fail for a while do not end the wait. Those that keep failing do.
func TestNewcomerWaitsWhileReadsFail(t *testing.T) {
	for count, want := range map[int]bool{3: true, -1: false} {
		synctest.Test(t, func(t *testing.T) {
			store := new(mock.Store)
			owner := contest(t, store, 4)
			defer owner.Close()
			outage := &mock.Fault{Count: count, Err: errors.New("connection refused")}
			time.AfterFunc(1500*time.Millisecond, func() { store.OnLoad(outage) })
			sub, err := client.Subscribe(t.Context(), script(), named(store))
			if (err == nil) != want || outage.Hits() == 0 {
				t.Errorf("%d failing reads: got %v, want success %t", count, err, want)
			}
			if err == nil {
				sub.Close()
			} else if !errors.Is(err, outage.Err) {
				t.Errorf("got %v, want its cause %v", err, outage.Err)
			}
		})
	}
}

// A subscription that waits logs how long it leaves the record to its owner, and again when another
// one has taken it over meanwhile.
func TestNewcomerLogsAnotherTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		owner := contest(t, store, 4)
		defer owner.Close()
		var group sync.WaitGroup
		group.Go(func() {
			sub := subscribe(t, script(), named(store))
			time.Sleep(time.Hour)
			sub.Close()
		})
		time.Sleep(2 * time.Second)
		book := &logbook{}
		o := named(store)
		o.Logger = book.logger()
		start := time.Now()
		sub := subscribe(t, script(), o)
		took := time.Since(start)
		sub.Close()
		group.Wait()
		var owners []string
		var most time.Duration
		for _, l := range book.lines {
			if strings.Contains(l.text, "contested") {
				owners = append(owners, l.attrs["owner"].String())
				most += l.attrs["waiting_at_most"].Duration()
			}
		}
		if len(owners) != 2 || owners[0] == owners[1] || took > most+time.Second {
			t.Errorf("waited %v: got %v logged for the owners %v, want two owners and at most a second more", took, most, owners)
		}
	})
}

// An owner that is left alone stops writing after some time. It keeps the position although it has
// not acknowledged anything.
func TestContestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		first := subscribe(t, script(events("1")), named(store))
		data(t, first, 1)
		first.Close()
		owner := contest(t, store, 4)
		time.Sleep(20 * time.Minute)
		saves := len(store.History("n"))
		if saves < 800 {
			t.Errorf("got %d saves in the contest, want one a second", saves)
		}
		time.Sleep(time.Hour)
		var r struct{ Contest int }
		saved := store.History("n")
		now := saved[len(saved)-1]
		json.Unmarshal(now, &r)
		if n := len(saved) - saves; n != 0 || r.Contest != 0 {
			t.Errorf("after the contest: got %d saves in an hour, record %s, want none and no contest", n, now)
		}
		if r := readRecord(t, store); r.Token != "1" || r.Events != 1 {
			t.Errorf("record: got %+v, want token 1 and 1 event", r)
		}
		owner.Close()
	})
}

// A subscription that has nothing to save notices its successor, which is soon the only one
// connected.
func TestIdleSubscriptionIsFenced(t *testing.T) {
	for _, every := range []time.Duration{0, time.Hour, -1} {
		synctest.Test(t, func(t *testing.T) {
			store := new(mock.Store)
			o := named(store)
			o.CommitEvery = every
			older := subscribe(t, script(events("1")), o)
			ev, err := older.Next(t.Context()) // is never acknowledged
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			newer := subscribe(t, script(), o)
			defer newer.Close()
			start := time.Now()
			if _, err := older.Next(t.Context()); !errors.Is(err, client.ErrFenced) || time.Since(start) > 31*time.Second {
				t.Errorf("CommitEvery %v: Next returned %v after %v, want ErrFenced within 31 s", every, err, time.Since(start))
			}
			if err := ev.Ack(); !errors.Is(err, client.ErrFenced) {
				t.Errorf("Ack: got %v, want %v", err, client.ErrFenced)
			}
			if err := older.Close(); !errors.Is(err, client.ErrFenced) {
				t.Errorf("Close: got %v, want %v", err, client.ErrFenced)
			}
		})
	}
}

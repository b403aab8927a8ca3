package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// logbook is a slog.Handler that keeps the records above Debug.
type logbook struct {
	mu    sync.Mutex
	lines []logLine
}

type logLine struct {
	at    time.Time
	level slog.Level
	text  string
	attrs map[string]slog.Value
}

func (l logLine) String() string { return fmt.Sprintf("%v %s %v", l.level, l.text, l.attrs) }

func (b *logbook) Enabled(_ context.Context, level slog.Level) bool { return level > slog.LevelDebug }
func (b *logbook) WithAttrs([]slog.Attr) slog.Handler               { return b }
func (b *logbook) WithGroup(string) slog.Handler                    { return b }

func (b *logbook) Handle(_ context.Context, r slog.Record) error {
	line := logLine{time.Now(), r.Level, r.Message, map[string]slog.Value{}}
	r.Attrs(func(a slog.Attr) bool {
		line.attrs[a.Key] = a.Value
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
	return nil
}

func (b *logbook) logger() *slog.Logger { return slog.New(b) }

// brief returns the records as "LEVEL text".
func (b *logbook) brief() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		list = append(list, fmt.Sprintf("%v %s", l.level, l.text))
	}
	return list
}

// TestOutageInTheLog has a server away for 72 minutes, which answers 503 and later 429.
func TestOutageInTheLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		script := []mock.Step{mock.Event("1", "x"), mock.Drop()}
		for range 40 {
			script = append(script, mock.Status(503, http.Header{"Retry-After": {"60"}}))
		}
		for range 10 {
			script = append(script, mock.Status(429, http.Header{"Retry-After": {"190"}}))
		}
		book := &logbook{}
		policy := retry.Policy{Jitter: -1, Classes: map[retry.Class]retry.Rule{retry.ClassRateLimited: {Cap: time.Minute}}}
		feed := mock.NewFeed(append(script, mock.Event("2", "x"), mock.Drop(), mock.Event("3", "x"), mock.Complete())...)
		sub := subscribe(t, feed, &client.Options{Logger: book.logger(), Retry: policy})
		start := time.Now()
		data(t, sub, 2)
		if d := time.Since(start); d.Round(time.Minute) != 72*time.Minute {
			t.Fatalf("the outage took %v", d)
		}
		data(t, sub, 0)
		sub.Close()
		want(t, "records", book.brief(), []string{
			"INFO connected",
			"WARN disconnected",   // network
			"WARN connect failed", // server
			"WARN connect failed", // after 1 min
			"WARN connect failed", // 3
			"WARN connect failed", // 7
			"WARN connect failed", // 15
			"WARN connect failed", // 31
			"WARN connect failed", // rate limited, after 40 min
			"WARN connect failed", // 63
			"INFO connected",
			"WARN disconnected",
			"INFO connected",
			"INFO ended",
		})
		last := book.lines[9]
		if a := last.attrs; a["class"].String() != "rate limited" || a["failures"].Int64() < 40 || a["outage"].Duration() < time.Hour {
			t.Errorf("an hour into the outage: %v", last)
		}
		back := book.lines[10]
		if a := back.attrs; a["failures"].Int64() != 51 || a["outage"].Duration() < 71*time.Minute {
			t.Errorf("the recovery: %v", back)
		}
	})
}

// TestFlappingInTheLog has a server for a day that accepts each connection and ends it with
// nothing: neither the connections nor their ends fill the log.
func TestFlappingInTheLog(t *testing.T) { testRecordsOfADay(t, flapping{}, 3500) }

// TestQuietFeedInTheLog logs a feed that is silent and is cut every 90 s.
func TestQuietFeedInTheLog(t *testing.T) { testRecordsOfADay(t, flapping{90 * time.Second}, 900) }

func testRecordsOfADay(t *testing.T, feed flapping, connections uint64) {
	bubble(t, func(t *testing.T) {
		book := &logbook{}
		sub := subscribe(t, feed, &client.Options{Logger: book.logger()})
		time.Sleep(24 * time.Hour)
		sub.Close()
		lines := slices.DeleteFunc(book.brief(), func(l string) bool { return strings.Contains(l, "missing") })
		if n := len(lines); n < 40 || n > 80 {
			t.Errorf("%d records in a day, want about two an hour", n)
		}
		for i, l := range lines[:len(lines)-1] {
			if want := []string{"INFO connected", "WARN disconnected"}[i%2]; l != want {
				t.Errorf("record %d: %q, want %q", i, l, want)
			}
		}
		if n := sub.Stats().Connections; n < connections {
			t.Errorf("%d connections", n)
		}
	})
}

// flapping is a feed whose connections break after a while without an event.
type flapping struct{ after time.Duration }

func (f flapping) Validate() error { return nil }

func (f flapping) Open(ctx context.Context, _ string) (*transport.Session, error) {
	return &transport.Session{Conn: flappingConn{ctx, f.after}, Resumes: true}, nil
}

type flappingConn struct {
	ctx   context.Context
	after time.Duration
}

func (c flappingConn) Read(m *transport.Message) (err error) {
	*m, err = c.message()
	return err
}

func (c flappingConn) message() (m transport.Message, err error) {
	select {
	case <-time.After(max(c.after, time.Nanosecond)):
	case <-c.ctx.Done():
	}
	return m, errors.New("reset")
}

func (flappingConn) Close() error { return nil }

// TestEndsInTheLog ends subscriptions in each way.
func TestEndsInTheLog(t *testing.T) {
	refused := mock.Status(403)
	for name, c := range map[string]struct {
		feed *mock.Feed
		end  func(*client.Subscription, context.CancelCauseFunc)
		want string
	}{
		"complete":  {script(steps(mock.Complete())), nil, "INFO ended"},
		"close":     {script(), func(s *client.Subscription, _ context.CancelCauseFunc) { s.Close() }, "INFO ended"},
		"context":   {script(), func(_ *client.Subscription, cancel context.CancelCauseFunc) { cancel(nil) }, "INFO ended"},
		"its cause": {script(), func(_ *client.Subscription, cancel context.CancelCauseFunc) { cancel(errors.New("deploy")) }, "INFO ended"},
		"final":     {script(steps(refused)), nil, "ERROR ended"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				book := &logbook{}
				sub, err := client.Subscribe(ctx, c.feed, &client.Options{Logger: book.logger()})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if c.end != nil {
					c.end(sub, cancel)
				}
				synctest.Wait()
				lines := book.brief()
				if last := lines[len(lines)-1]; last != c.want {
					t.Errorf("logged %v, want %q at the end", lines, c.want)
				}
				sub.Close()
			})
		})
	}
}

// TestRoutineEndsInTheLog has connections end as they do every day.
func TestRoutineEndsInTheLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		book := &logbook{}
		feed := script(events("1"), steps(mock.End()), events("2"), steps(mock.Pause(time.Minute)), events("3"), steps(mock.Complete()))
		sub := subscribe(t, feed, &client.Options{Logger: book.logger()})
		data(t, sub, 2)
		synctest.Wait()
		sub.Reconnect()
		data(t, sub, 0)
		sub.Close()
		for _, l := range book.brief() {
			if !strings.HasPrefix(l, "INFO") {
				t.Errorf("logged %q", l)
			}
		}
	})
}

// TestWaitConnected waits for connections that come, that come late, and that do not.
func TestWaitConnected(t *testing.T) {
	wait := func(t *testing.T, feed transport.Transport) (*client.Subscription, error) {
		sub := subscribe(t, feed, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return sub, sub.WaitConnected(ctx)
	}
	t.Run("late", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			sub, err := wait(t, script(steps(mock.Refuse(), mock.Refuse()), events("1")))
			if err != nil {
				t.Error(err)
			}
			sub.Close()
			if err := sub.WaitConnected(t.Context()); err != nil {
				t.Errorf("after Close: %v", err)
			}
		})
	})
	t.Run("not in time", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			sub, err := wait(t, script(steps(mock.Status(503), unavailable)))
			var status interface{ StatusCode() int }
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &status) || status.StatusCode() != 503 ||
				!strings.Contains(err.Error(), "attempts: 2") {
				t.Errorf("got %v", err)
			}
			sub.Close()
		})
	})
	t.Run("no answer", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			sub, err := wait(t, deaf{})
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "attempts: 1") {
				t.Errorf("got %v", err)
			}
			sub.Close()
			if err := sub.WaitConnected(t.Context()); !errors.Is(err, client.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		})
	})
	t.Run("final", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			sub, err := wait(t, script(steps(mock.Status(403))))
			var stop *client.StopError
			if !errors.As(err, &stop) {
				t.Errorf("got %v", err)
			}
			sub.Close()
		})
	})
}

package client_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// The server is away for 72 minutes. It answers with 503, and later with 429.
func TestOutageIsLoggedAtGrowingIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
			t.Fatalf("got an outage of %v, want 72m", d)
		}
		data(t, sub, 0)
		sub.Close()
		want(t, "records", book.brief(), []string{
			"INFO connected",
			"INFO disconnected",    // network
			"WARN connect failed",  // server
			"WARN connect failed",  // after 1 min
			"WARN connect failed",  // 3
			"WARN connect failed",  // 7
			"ERROR connect failed", // 15
			"ERROR connect failed", // 31
			"ERROR connect failed", // rate limited, after 40 min
			"ERROR connect failed", // 63
			"INFO connected",
			"INFO disconnected", // the next attempt succeeds
			"INFO connected",
			"INFO ended",
		})
		last := book.lines[9]
		if a := last.attrs; a["class"].String() != "rate limited" || a["failures"].Int64() < 40 || a["outage"].Duration() < time.Hour {
			t.Errorf("log after an hour: got %v, want class rate limited and at least 40 failures", last)
		}
		back := book.lines[10]
		if a := back.attrs; a["failures"].Int64() != 51 || a["outage"].Duration() < 71*time.Minute {
			t.Errorf("log after the outage: got %v, want 51 failures", back)
		}
	})
}

// For a day, the server accepts each connection and ends it without an event.
func TestFlappingServerDoesNotFillTheLog(t *testing.T) {
	testRecordsOfADay(t, flapping{}, "ERROR", 3500)
}

// The feed is silent and is cut every 90 s.
func TestQuietFeedDoesNotFillTheLog(t *testing.T) {
	testRecordsOfADay(t, flapping{90 * time.Second}, "WARN", 900)
}

func testRecordsOfADay(t *testing.T, feed flapping, level string, connections uint64) {
	synctest.Test(t, func(t *testing.T) {
		book := &logbook{}
		sub := subscribe(t, feed, &client.Options{Logger: book.logger()})
		time.Sleep(24 * time.Hour)
		sub.Close()
		lines := slices.DeleteFunc(book.brief(), func(l string) bool { return strings.Contains(l, "missing") })
		if n := len(lines); n < 40 || n > 80 {
			t.Errorf("got %d records in a day, want about two an hour", n)
		}
		for i, l := range lines[:len(lines)-1] {
			if want := []string{"INFO connected", level + " disconnected"}[i%2]; l != want && i > 10 {
				t.Errorf("record %d: got %q, want %q", i, l, want)
			}
		}
		if n := sub.Stats().Connections; n < connections {
			t.Errorf("got %d connections, want at least %d", n, connections)
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

func TestRoutineEndsAreLoggedAsInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
				t.Errorf("got %q, want a record of level INFO", l)
			}
		}
	})
}

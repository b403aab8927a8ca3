package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A pageServer answers requests for pages with what answer returns, and records their queries.
type pageServer struct {
	answer func(query string) string

	mu    sync.Mutex
	asked []string
}

func (s *pageServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.RawQuery)
	s.mu.Unlock()
	io.WriteString(w, s.answer(r.URL.RawQuery))
}

func (s *pageServer) queries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// pageOf returns a page with events that have these ids.
func pageOf(cursor string, ids ...string) string {
	var events []string
	for _, id := range ids {
		events = append(events, fmt.Sprintf(`{"id":%q}`, id))
	}
	return fmt.Sprintf(`{"events":[%s],"cursor":%q}`, strings.Join(events, ","), cursor)
}

func startPages(t *testing.T, answer func(query string) string) (*pageServer, *transport.Poll) {
	s := &pageServer{answer: answer}
	srv := mock.NewServer(s)
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, &transport.Poll{
		URL: srv.URL, Client: srv.Client(), Resume: transport.ResumeQuery("after"), Events: "events", ID: "id", Cursor: "cursor",
	}
}

// A restart in the middle of a page repeats the page, and one after it does not.
func TestPollRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, feed := startPages(t, func(query string) string {
			switch query {
			case "":
				return pageOf("c1", "1", "2", "3")
			case "after=c1":
				return pageOf("c2", "4")
			}
			return pageOf("c2")
		})
		o := &client.Options{Name: "n", Store: new(mock.Store)}
		for i, want := range []string{"1 2", "1 2 3", "4"} {
			sub := subscribe(t, feed, o)
			var got []string
			for range strings.Fields(want) {
				ev, err := sub.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ev.Ack()
				got = append(got, ev.ID)
			}
			if s := strings.Join(got, " "); s != want {
				t.Errorf("process %d: got events %s, want %s", i+1, s, want)
			}
			if err := sub.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
}

// Pages that overlap bring an event again, which Dedupe drops.
func TestPollDedupe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, feed := startPages(t, func(query string) string {
			switch query {
			case "":
				return pageOf("c1", "1", "2")
			case "after=c1":
				return pageOf("c2", "2", "3")
			}
			return pageOf("c3", "3", "4")
		})
		sub := subscribe(t, feed, &client.Options{Dedupe: 10})
		defer sub.Close()
		got, err := data(t, sub, 4)
		if want := `[{"id":"1"} {"id":"2"} {"id":"3"} {"id":"4"}]`; fmt.Sprint(got) != want || err != nil {
			t.Errorf("got %v and %v, want %v", got, err, want)
		}
	})
}

// A position that deletes the events before it is presented once these are acknowledged: not while
// the consumer works, not after a refusal, and not because the connection is replaced.
func TestPollConfirms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, feed := startPages(t, func(query string) string {
			if query == "after=2" {
				return pageOf("", "3")
			}
			return pageOf("", "1", "2")
		})
		feed.Cursor, feed.Confirms, feed.Interval = "", true, time.Second
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		next := func(want string, attempt int) client.Event {
			t.Helper()
			ev, err := sub.Next(t.Context())
			if err != nil || ev.ID != want || ev.Attempt != attempt {
				t.Fatalf("Next: got event %q in attempt %d and %v, want %s in attempt %d", ev.ID, ev.Attempt, err, want, attempt)
			}
			return ev
		}
		asked := func(when string, want ...string) {
			t.Helper()
			time.Sleep(time.Minute)
			if got := s.queries(); !slices.Equal(got, want) {
				t.Errorf("%s: got requests %q, want %q", when, got, want)
			}
		}
		first, second := next("1", 1), next("2", 1)
		asked("before the first Ack", "")
		second.Ack()
		asked("after the second Ack", "")
		sub.Reconnect()
		asked("after Reconnect", "", "")
		first.Nack(errors.New("refused"))
		again := next("1", 2)
		asked("after a Nack", "", "")
		again.Ack()
		third := next("3", 1)
		asked("after all", "", "", "after=2")
		third.Ack()
	})
}

// The wait for the consumer ends with the subscription.
func TestPollConfirmsClose(t *testing.T) {
	for _, how := range []string{"Close", "context"} {
		synctest.Test(t, func(t *testing.T) {
			_, feed := startPages(t, func(string) string { return pageOf("", "1") })
			feed.Cursor, feed.Confirms = "", true
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			sub, err := client.Subscribe(ctx, feed, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sub.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if how == "context" {
				cancel()
				time.Sleep(time.Second)
			}
			start := time.Now()
			sub.Close()
			if d := time.Since(start); d > time.Second {
				t.Errorf("%s: Close took %v, want at most 1s", how, d)
			}
		})
	}
}

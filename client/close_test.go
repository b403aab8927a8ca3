package client_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestTwoGoroutinesClose closes while a delivery is in hand: Close waits for time to pass,
// and the second Close must not stop the bubble's clock.
func TestTwoGoroutinesClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hook := &webhook.Receiver{Provider: provider.GitHub("secret")}
		srv := mock.NewServer(hook)
		defer srv.Close()
		sub := subscribe(t, hook, nil)
		time.Sleep(time.Second)
		github := sender.New(provider.GitHub("secret"), srv.URL, srv.Client())
		var group sync.WaitGroup
		group.Go(func() { github.Post(context.Background(), sender.Delivery{ID: "1", Body: []byte(`{}`)}) })
		if _, err := sub.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			group.Go(func() { sub.Close() })
		}
		group.Wait()
	})
}

func TestTwoGoroutinesCloseWithSlowStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := mock.NewStore()
		sub := subscribe(t, script(events("1")), named(store))
		data(t, sub, 1)
		down := errors.New("database is down")
		store.OnSave(&mock.Fault{Count: -1, Delay: 100 * time.Millisecond, Err: down})
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				if err := sub.Close(); !errors.Is(err, down) {
					t.Errorf("Close: %v", err)
				}
			})
		}
		group.Wait()
	})
}

// TestNoZeroTimer reads the source, because the crash is rare: Go 1.26 may crash on a timer
// of no duration in a synctest bubble under -race.
func TestNoZeroTimer(t *testing.T) {
	zero := regexp.MustCompile(`(?m)^[^/\n]*\b(AfterFunc|NewTimer|After|Tick|NewTicker)\(0\b`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if found := zero.Find(source); found != nil {
			t.Errorf("%s: %s", path, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestEventInHandAtTheEnd holds what becomes of an event whose body is still running: the
// end of the context lets it finish and count, Close does not wait for it.
func TestEventInHandAtTheEnd(t *testing.T) {
	stop := errors.New("SIGTERM")
	for _, closes := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			store := mock.NewStore()
			ctx, cancel := context.WithCancelCause(t.Context())
			sub, err := client.Subscribe(ctx, script(events("1", "2", "3")), named(store))
			if err != nil {
				t.Fatal(err)
			}
			var seen []string
			var end error
			var closing sync.WaitGroup
			for ev, err := range sub.Events() {
				if err != nil {
					end = err
					break
				}
				seen = append(seen, ev.ID)
				if ev.ID != "2" {
					continue
				}
				if closes {
					closing.Go(func() { sub.Close() })
				} else {
					cancel(stop)
				}
				time.Sleep(time.Minute) // the work on event 2
			}
			closing.Wait()
			if err := sub.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			want(t, "events", seen, []string{"1", "2"})
			token := readRecord(t, store).Token
			switch {
			case closes && (end != nil || token != "1"):
				t.Errorf("closed: the loop ended with %v and %q is stored, want nil and 1", end, token)
			case !closes && (end != stop || token != "2"):
				t.Errorf("context ended: the loop ended with %v and %q is stored, want its cause and 2", end, token)
			}
			cancel(nil)
		})
	}
}

// A complete is a Receiver that is complete at once.
type complete struct {
	opens, closes atomic.Int32
}

func (f *complete) Validate() error { return nil }

func (f *complete) Listen(context.Context, transport.Deliver) (transport.Listener, error) {
	f.opens.Add(1)
	return f, nil
}

func (f *complete) Wait() error { return transport.ErrComplete }

func (f *complete) Close() error {
	f.closes.Add(1)
	return nil
}

// TestReconnectAtTheEnd calls Reconnect when the feed has just ended: the end counts, and the
// Listener is closed once.
func TestReconnectAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &complete{}
		subs := make(chan *client.Subscription, 1)
		sub := subscribe(t, feed, &client.Options{
			Trace: &client.Trace{Disconnected: func(client.DisconnectInfo) { (<-subs).Reconnect() }},
		})
		subs <- sub
		if _, err := sub.Next(t.Context()); err != io.EOF {
			t.Errorf("the end: %v", err)
		}
		sub.Close()
		if opens, closes := feed.opens.Load(), feed.closes.Load(); opens != 1 || closes != 1 {
			t.Errorf("opened %d times, closed %d times", opens, closes)
		}
	})
}

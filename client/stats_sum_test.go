package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const summed = 60 // events of TestStatsAddUp

// addUp consumes a feed with events to skip, to refuse once and to dead-letter, and checks the sums.
func addUp(t *testing.T, src transport.Source, start func()) {
	t.Helper()
	m := new(client.Monitor)
	sub := subscribe(t, src, &client.Options{Name: "n", Monitor: m, Dedupe: 1000, Buffer: 5, MaxAttempts: 3,
		Skip:       func(ev client.Event) bool { return strings.Contains(string(ev.Data), "skip") },
		DeadLetter: func(context.Context, client.Event, error) error { return nil }})
	refused := map[string]bool{}
	done := make(chan error)
	go func() {
		done <- sub.Process(t.Context(), func(_ context.Context, ev client.Event) error {
			time.Sleep(100 * time.Millisecond)
			text := string(ev.Data)
			switch {
			case strings.Contains(text, "bad"):
				return errors.New("bad")
			case strings.Contains(text, "once") && !refused[text]:
				refused[text] = true
				return errors.New("not now")
			}
			return nil
		}, nil)
	}()
	start()
	for range 200 { // an event in the buffer may be acknowledged, after one that is not
		time.Sleep(time.Second)
		synctest.Wait()
		s := sub.Stats()
		over := s.Skipped + s.Duplicates + s.Dropped + s.Acked
		if over > s.Received || s.Received > over+uint64(s.Buffered) || s.Buffered == 0 && s.Received != over {
			t.Errorf("got %d received, of which skipped %d, duplicates %d, dropped %d, acknowledged %d, in the buffer %d, want a sum",
				s.Received, s.Skipped, s.Duplicates, s.Dropped, s.Acked, s.Buffered)
		}
		var lost uint64
		for _, n := range s.Disconnects {
			lost += n
		}
		if s.Attempts < s.Connections || s.Connections > lost+s.Handovers+1 || s.DeadLettered > s.Acked || s.DeadLettered > s.Nacked {
			t.Errorf("got %+v, want attempts that add up", s)
		}
	}
	s := sub.Stats()
	if s.Received < summed || s.Buffered != 0 || s.Skipped == 0 || s.Nacked == 0 || s.DeadLettered == 0 {
		t.Errorf("got %+v, want some of each, and nothing left", s)
	}
	sub.Close()
	<-done
	if kept := m.Snapshots()[0].Stats; kept.Received != s.Received || kept.Acked != s.Acked || kept.Nacked != s.Nacked {
		t.Errorf("after Close: got %+v, want what was counted before", kept)
	}
}

// textOf returns the data of an event of TestStatsAddUp.
func textOf(n int) string {
	return fmt.Sprintf(`{"n":%d,"kind":%q}`, n, []string{"good", "skip", "once", "bad", "good"}[n%5])
}

// What was received is what became of it, on each kind of transport.
func TestStatsAddUp(t *testing.T) {
	script := func() *mock.Feed {
		var steps []mock.Step
		for n := range summed {
			steps = append(steps, mock.Event(fmt.Sprint(n), textOf(n)))
			switch n % 15 {
			case 3:
				steps = append(steps, mock.Event(fmt.Sprint(n), textOf(n))) // a duplicate
			case 7:
				steps = append(steps, mock.Drop(), mock.Status(503))
			case 11:
				steps = append(steps, mock.Keepalive(), mock.Pause(3*time.Second))
			}
		}
		return mock.NewFeed(append(steps, mock.Pause(time.Hour))...)
	}
	for name, make := range map[string]func(f *mock.Feed) (http.Handler, func(*mock.Server) transport.Source){
		"http": func(f *mock.Feed) (http.Handler, func(*mock.Server) transport.Source) {
			return f.Handler(decode.SSE{}), func(s *mock.Server) transport.Source {
				return &transport.HTTP{URL: s.URL, Client: s.Client()}
			}
		},
		"websocket": func(f *mock.Feed) (http.Handler, func(*mock.Server) transport.Source) {
			return f.WebSocket(nil, nil), func(s *mock.Server) transport.Source {
				return &transport.WebSocket{URL: "ws" + strings.TrimPrefix(s.URL, "http"), Client: s.Client()}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handler, source := make(script())
				srv := mock.NewServer(handler)
				defer srv.Close()
				addUp(t, source(srv), func() {})
			})
		})
	}
	t.Run("webhook", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hook := &webhook.Receiver{Provider: provider.StandardWebhooks(hookSecret)}
			srv := mock.NewServer(hook)
			defer srv.Close()
			to := &sender.Client{Provider: provider.StandardWebhooks(hookSecret), URL: srv.URL, Client: srv.Client(),
				Retries: []time.Duration{time.Second, time.Second, time.Second, time.Second}}
			ctx, stop := context.WithCancel(t.Context())
			sent := false
			addUp(t, hook, func() {
				for n := range summed {
					to.Send(ctx, sender.Delivery{ID: fmt.Sprint("msg_", n), Body: []byte(textOf(n))})
				}
				sent = true
			})
			stop()
			if !sent {
				t.Error("got no deliveries sent")
			}
		})
	})
}

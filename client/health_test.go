package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// probe asks a handler and returns the status and the body.
func probe(t *testing.T, h http.HandlerFunc, query string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h(w, httptest.NewRequestWithContext(t.Context(), "GET", "/probe"+query, nil))
	return w.Code, w.Body.String()
}

// health returns the outcomes of Healthy and Ready, which must be the same as those of the probes.
func health(t *testing.T, sub *client.Subscription, m *client.Monitor) string {
	t.Helper()
	healthy, ready := sub.Healthy() == nil, sub.Ready() == nil
	if (m.Healthy() == nil) != healthy || (m.Ready() == nil) != ready {
		t.Errorf("Monitor: got %v and %v, want healthy %v and ready %v", m.Healthy(), m.Ready(), healthy, ready)
	}
	for path, c := range map[string]struct {
		serve http.HandlerFunc
		ok    bool
	}{"healthz": {m.ServeHealth, healthy}, "readyz": {m.ServeReady, ready}} {
		want, text := 200, "ok\n"
		if !c.ok {
			want, text = 503, "unavailable\n"
		}
		if code, body := probe(t, c.serve, ""); code != want || body != text {
			t.Errorf("%s: got %d %q, want %d %q", path, code, body, want, text)
		}
	}
	return fmt.Sprintf("healthy %v, ready %v", healthy, ready)
}

func TestHealth(t *testing.T) {
	const (
		good    = "healthy true, ready true"
		unready = "healthy true, ready false"
		bad     = "healthy false, ready false"
	)
	for name, c := range map[string]struct {
		feed    transport.Source
		options client.Options
		act     func(t *testing.T, sub *client.Subscription)
		want    string
	}{
		"connecting":     {feed: deaf{}, want: unready},
		"live":           {feed: script(events("1")), want: good},
		"backing off":    {feed: script(steps(unavailable)), want: unready},
		"resumed":        {feed: script(), act: func(_ *testing.T, s *client.Subscription) { s.Pause(); s.Resume() }, want: good},
		"paused":         {feed: script(), act: func(_ *testing.T, s *client.Subscription) { s.Pause() }, want: unready},
		"full":           {feed: script(events("1", "2")), options: client.Options{Buffer: 1}, want: good},
		"a busy handler": {feed: script(events("1")), act: func(t *testing.T, s *client.Subscription) { next(t, s); s.Stats(); time.Sleep(299 * time.Second) }, want: good},
		"a stuck handler": {feed: script(events("1", "2")), act: func(t *testing.T, s *client.Subscription) {
			next(t, s)
			next(t, s).Ack() // another one works
			time.Sleep(311 * time.Second)
		}, want: bad},
		"a long limit": {feed: script(events("1")), options: client.Options{StuckAfter: time.Hour}, act: func(t *testing.T, s *client.Subscription) { next(t, s); time.Sleep(59 * time.Minute) }, want: good},
		"no limit":     {feed: script(events("1")), options: client.Options{StuckAfter: -1}, act: func(t *testing.T, s *client.Subscription) { next(t, s); time.Sleep(240 * time.Hour) }, want: good},
		"no consumer":  {feed: script(events("1")), act: func(*testing.T, *client.Subscription) { time.Sleep(311 * time.Second) }, want: bad},
		"stuck while backing off": {feed: script(events("1"), steps(mock.Drop(), unavailable)), act: func(t *testing.T, s *client.Subscription) {
			next(t, s)
			time.Sleep(311 * time.Second)
		}, want: bad},
		"a refused event that waits": {feed: script(events("1")), act: func(t *testing.T, s *client.Subscription) {
			next(t, s).Nack(client.RetryAfter(time.Hour, nil))
			time.Sleep(40 * time.Minute)
		}, want: good},
		"an event that is refused again and again": {feed: script(events("1")), act: func(t *testing.T, s *client.Subscription) {
			go func() {
				for ev := range s.Events() {
					ev.Nack(nil)
				}
			}()
			time.Sleep(time.Hour)
		}, want: good},
		"a stuck second attempt": {feed: script(events("1")), act: func(t *testing.T, s *client.Subscription) {
			next(t, s).Nack(nil)
			next(t, s)
			time.Sleep(311 * time.Second)
		}, want: bad},
		"slow through a backlog": {feed: script(events("1", "2", "3", "4", "5", "6", "7", "8", "9", "10")), act: func(t *testing.T, s *client.Subscription) {
			for range 9 {
				ev := next(t, s)
				time.Sleep(4 * time.Minute)
				ev.Ack()
			}
		}, want: good},
		"failed": {feed: script(steps(mock.Status(403))), want: bad},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := new(client.Monitor)
				o := c.options
				o.Monitor = m
				sub := subscribe(t, c.feed, &o)
				defer sub.Close()
				synctest.Wait()
				if c.act != nil {
					c.act(t, sub)
				}
				synctest.Wait()
				if got := health(t, sub, m); got != c.want {
					t.Errorf("got %s (%v, %v), want %s", got, sub.Healthy(), sub.Ready(), c.want)
				}
			})
		})
	}
}

// A program that has ended its subscriptions is healthy. A feed that is complete does not make the
// process unready while another one works.
func TestHealthAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(client.Monitor)
		if err := m.Ready(); err == nil || m.Healthy() != nil {
			t.Errorf("without a subscription: got %v and %v, want healthy and not ready", m.Healthy(), err)
		}
		complete := subscribe(t, script(steps(mock.Complete())), &client.Options{Monitor: m})
		defer complete.Close()
		synctest.Wait()
		if complete.Ready() == nil || complete.Healthy() != nil || m.Ready() == nil || m.Healthy() != nil {
			t.Errorf("complete: got %v and %v, want healthy and not ready", complete.Healthy(), complete.Ready())
		}
		sub := subscribe(t, script(events("1")), &client.Options{Monitor: m})
		synctest.Wait()
		if err := m.Ready(); err != nil {
			t.Errorf("one is complete, one is live: got %v, want ready", err)
		}
		ev := next(t, sub)
		drained := make(chan error)
		go func() { drained <- sub.Drain(t.Context()) }()
		synctest.Wait()
		if m.Ready() == nil || m.Healthy() != nil || sub.Ready() == nil {
			t.Errorf("draining: got %v and %v, want healthy and not ready", m.Healthy(), m.Ready())
		}
		ev.Ack()
		if err := <-drained; err != nil {
			t.Error(err)
		}
		failed := subscribe(t, script(steps(mock.Status(403))), &client.Options{Name: "x", Monitor: m})
		synctest.Wait()
		var stop *client.StopError
		if err := m.Healthy(); !errors.As(err, &stop) || !strings.Contains(err.Error(), `1 of 3 subscriptions: subscription 3 "x"`) {
			t.Errorf("got %v, want the StopError of x", err)
		}
		failed.Close()
		sub.Close()
		if err := m.Healthy(); err != nil {
			t.Errorf("after Close: got %v, want nil", err)
		}
	})
}

// Without a Monitor, the time counts from the first call that has seen the event.
func TestHealthyWithoutAMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1")), nil)
		defer sub.Close()
		next(t, sub)
		time.Sleep(time.Hour)
		if err := sub.Healthy(); err != nil {
			t.Errorf("the first call: got %v, want nil", err)
		}
		time.Sleep(5 * time.Minute)
		if err := sub.Healthy(); err == nil || !strings.Contains(err.Error(), "2000-01-01T01:00:00Z") {
			t.Errorf("got %v, want that it is stuck since the first call", err)
		}
	})
}

// The details name the subscription, its state and its times, and no secret.
func TestDetailsOfAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(client.Monitor)
		feed := script(events("token-secret"), steps(mock.Drop(), unavailable))
		sub := subscribe(t, feed, &client.Options{Name: "orders", Monitor: m})
		defer sub.Close()
		next(t, sub)
		time.Sleep(6 * time.Minute)
		for range 150 {
			defer subscribe(t, refusing(func() error { return errors.New("error-secret") }), &client.Options{Monitor: m}).Close()
		}
		synctest.Wait()
		code, body := probe(t, m.ServeReady, "?details=1")
		var answer struct {
			Status           string
			Checked, Failing int
			Details          []struct {
				ID          int
				Name        string
				Problem     string
				State       client.State
				Class       string
				Since       time.Time
				OutageSince time.Time `json:"outage_since"`
				NextAttempt time.Time `json:"next_attempt"`
				Failures    int
				Buffered    int
				OldestSince time.Time `json:"oldest_since"`
			}
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || code != 503 {
			t.Fatalf("got %d %s, %v, want a JSON object and 503", code, body, err)
		}
		if answer.Status != "unavailable" || answer.Checked != 151 || answer.Failing != 151 || len(answer.Details) != 100 {
			t.Errorf("got %s, %d of %d, %d listed, want 151 and 100 listed", answer.Status, answer.Failing, answer.Checked, len(answer.Details))
		}
		if strings.Contains(body, "secret") {
			t.Errorf("got a secret in %s", body)
		}
		_, body = probe(t, m.ServeHealth, "?details=1")
		if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Details) != 1 {
			t.Fatalf("healthz: got %s, %v, want one problem", body, err)
		}
		d := answer.Details[0]
		if d.Name != "orders" || d.Problem != "consumer is stuck" || d.State != client.StateBackingOff || d.Class != "server" || d.Failures != 2 ||
			d.Buffered != 1 || time.Since(d.OldestSince) < 5*time.Minute || time.Until(d.NextAttempt) < time.Minute || time.Since(d.OutageSince) < 5*time.Minute {
			t.Errorf("got %+v, want the stuck orders in their outage", d)
		}
		if strings.Contains(body, "secret") {
			t.Errorf("got a secret in %s", body)
		}
	})
}

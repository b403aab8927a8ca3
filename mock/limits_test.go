package mock_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/transport"
)

// Limits hold on every wire, and are told in its own way.
func TestLimitsOnEveryWire(t *testing.T) {
	for name, wire := range wiretest.Wires {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(wiretest.Object(1), wiretest.Object(2), wiretest.Object(3), wiretest.Object(4))
			feed.Retention, feed.MaxConns = 2, 1
			tr := wire(t, feed)
			c, err := tr.Open(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			read(t, c, 4)
			var status *transport.StatusError
			if _, err := tr.Open(t.Context(), "3"); !errors.As(err, &status) || status.Code != http.StatusTooManyRequests {
				t.Errorf("%s: a second connection: %v", name, err)
			}
			c.Close()
			synctest.Wait()
			var rejects interface{ RejectsToken() bool }
			if _, err := tr.Open(t.Context(), "1"); !errors.As(err, &rejects) || !rejects.RejectsToken() {
				t.Errorf("%s: a token from before: %v", name, err)
			}
			equal(t, read(t, open(t, tr, "2"), 2), []string{`{"id":"3"}`, `{"id":"4"}`})
			if feed.Peak() != 1 {
				t.Errorf("%s: at most %d at once", name, feed.Peak())
			}

			feed.MaxConns, feed.TooMany = 2, mock.Status(http.StatusConflict)
			open(t, tr, "")
			if _, err := tr.Open(t.Context(), "3"); !errors.As(err, &status) || status.Code != http.StatusConflict || feed.Peak() != 2 {
				t.Errorf("%s: a third connection: %v, at most %d", name, err, feed.Peak())
			}
			feed.Authorize = func(*http.Request) bool { return false }
			feed.MaxConns = 0
			if _, err := tr.Open(t.Context(), ""); name != "no wire" && (!errors.As(err, &status) || status.Code != http.StatusUnauthorized) {
				t.Errorf("%s: bad credentials: %v", name, err)
			}
		})
	}
}

// A WebSocket that asks for its token in a message is turned away before that.
func TestLimitsAtTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(wiretest.Object(1))
		feed.MaxConns = 1
		feed.Authorize = func(r *http.Request) bool { return strings.HasSuffix(r.Header.Get("Authorization"), "good") }
		w := wiretest.WebSocket(t, feed.WebSocket(subscribed, nil), "ws")
		w.Resume, w.Hello, w.Header = nil, askFor, http.Header{"Authorization": {"Bearer good"}}
		read(t, open(t, w, ""), 1)
		for value, want := range map[string]int{"Bearer bad": 401, "Bearer good": 429} {
			other := wiretest.WebSocket(t, feed.WebSocket(subscribed, nil), "ws")
			other.Resume, other.Hello, other.Header = nil, askFor, http.Header{"Authorization": {value}}
			var status *transport.StatusError
			if _, err := other.Open(t.Context(), ""); !errors.As(err, &status) || status.Code != want {
				t.Errorf("%s: %v, want %d", value, err, want)
			}
		}
	})
}

package client_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// The consumer may change Attempt.
func TestAckIgnoresChangedFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		sub := subscribe(t, script(events("1")), named(store))
		defer sub.Close()
		ev, _ := sub.Next(t.Context())
		ev.Attempt = 0
		if err := ev.Ack(); err == nil && sub.Stats().Acked != 1 {
			t.Error("Ack of a changed Event: got nil without an acknowledgement, want one")
		}
	})
}

// An event that is not in the window yet cannot be settled.
func TestAckInSkipDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := make(chanFeed, 1)
		c <- transport.Message{Data: []byte("a"), ID: "1", Token: "1"}
		sub := subscribe(t, c, &client.Options{Skip: func(ev client.Event) (skip bool) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("panic: %v", p)
				}
			}()
			ev.Ack()
			return false
		}})
		synctest.Wait()
		sub.Close()
	})
}

func TestFieldTakesTheTokenFromThePayload(t *testing.T) {
	var since []string
	line := func(w http.ResponseWriter, r *http.Request) {
		since = append(since, r.URL.RawQuery)
		n := len(since)
		body("application/x-ndjson", fmt.Sprintf("{\"seq\":%d,\"id\":\"x\"}\n\nnot json\n", n))(w, r)
	}
	onWire(t, answers{line, line}, func(t *testing.T, h *transport.HTTP) {
		h.URL += "/changes?feed=continuous&since=0"
		h.Resume = transport.ResumeQuery("since")
		sub := subscribe(t, h, &client.Options{TokenOf: client.Field("seq")})
		defer sub.Close()
		var tokens []string
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, ev.Token)
		}
		want(t, "tokens of the events", tokens, []string{"1", "1", "2", "2"})
		want(t, "queries", since, []string{"feed=continuous&since=0", "feed=continuous&since=1"})
	})
}

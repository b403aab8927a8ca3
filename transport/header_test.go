package transport_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport"
)

func TestHeader(t *testing.T) {
	h := transport.Header{{"X-Event", "push"}, {"X-Hop", "first"}, {"Etag", ""}, {"X-Hop", "second"}}
	for name, want := range map[string][]string{
		"X-Event": {"push"}, "x-event": {"push"}, "X-HOP": {"first", "second"}, "ETag": {""}, "X-None": nil, "": nil,
	} {
		if got := h.Values(name); !slices.Equal(got, want) {
			t.Errorf("Values(%q) = %q, want %q", name, got, want)
		}
		if got := h.Get(name); got != append(want, "")[0] {
			t.Errorf("Get(%q) = %q, want %q", name, got, want)
		}
	}
	want := http.Header{"X-Event": {"push"}, "X-Hop": {"first", "second"}, "Etag": {""}}
	if got := h.HTTP(); !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("HTTP() = %q, want %q", got, want)
	}
	if h.Values("X-Hop")[0] = "changed"; h.Get("X-Hop") != "first" {
		t.Error("Values are not the caller's own")
	}
	if none := transport.Header(nil); none.Get("X-Event") != "" || none.Values("X-Event") != nil || len(none.HTTP()) != 0 {
		t.Error("an empty header has something")
	}
}

// The fields of many headers share an allocation. Each is its receiver's own all the same,
// whatever the receiver does to it, also if it has more fields than are allocated at once.
func TestWebhookHeadersAreOwned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		var kept []transport.Header
		for i := range 60 {
			data := fmt.Sprint(i)
			r := sign(t, w.Provider, data, data)
			for j := range i % 7 * 30 {
				r.Header.Add(fmt.Sprint("X-Field-", j%40), data)
			}
			a := post(w, r)
			m := take(t, conn, data)
			if n := len(m.Header); n != 4+i%7*30 {
				t.Fatalf("event %d has %d fields", i, n)
			}
			kept = append(kept, m.Header)
			_ = append(m.Header, transport.HeaderField{Name: "Webhook-Id", Value: "appended"})
			m.Settle(nil)
			wantStatus(t, a, 204)
		}
		for i, h := range kept {
			data := fmt.Sprint(i)
			for _, f := range h {
				if f.Value != data && (f.Name == "Webhook-Id" || f.Name[:2] == "X-") {
					t.Errorf("event %d: %s is %q", i, f.Name, f.Value)
				}
			}
			if got := h.Values("Webhook-Id"); !slices.Equal(got, []string{data}) {
				t.Errorf("event %d: ids %q", i, got)
			}
		}
	})
}

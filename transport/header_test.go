package transport_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"

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

package transport_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// list answers with a page of a feed without positions. next is the number of the page after it, 0
// for none.
func list(next int, ids ...any) http.HandlerFunc {
	if next == 0 {
		return answer(events(ids...), "ETag", fmt.Sprintf("%q", fmt.Sprint(ids...)))
	}
	return answer(events(ids...), "ETag", fmt.Sprintf("%q", fmt.Sprint(ids...)), "Link", fmt.Sprintf(`</list?page=%d>; rel="next"`, next), "X-Poll-Interval", "120")
}

// moving answers with the same page under ever new addresses.
func moving() http.HandlerFunc {
	n := 2
	return func(w http.ResponseWriter, r *http.Request) {
		n++
		list(n, 6, 5)(w, r)
	}
}

func TestPollNewestFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		token   string
		answers []http.HandlerFunc
		want    []string
		asked   int // requests for these messages
	}{
		"the last event is on the first page": {"3",
			[]http.HandlerFunc{list(2, 6, 5, 4, 3)}, []string{"data 4 4", "data 5 5", "data 6 6"}, 1},
		"on the third": {"1",
			[]http.HandlerFunc{list(2, 6, 5), list(3, 4, 3), list(4, 2, 1)},
			[]string{"data 2 2", "data 3 3", "data 4 4", "data 5 5", "data 6 6"}, 3},
		"first of a page": {"4",
			[]http.HandlerFunc{list(2, 6, 5), list(3, 4, 3)}, []string{"data 5 5", "data 6 6"}, 2},
		"events move to the next page": {"1",
			[]http.HandlerFunc{list(2, 6, 5), list(3, 6, 5, 4), list(4, 4, 3, 2, 1)},
			[]string{"data 2 2", "data 3 3", "data 4 4", "data 5 5", "data 6 6"}, 3},
		"a whole page moves": {"3",
			[]http.HandlerFunc{list(2, 6, 5), list(3, 6, 5), list(4, 4, 3)}, []string{"data 4 4", "data 5 5", "data 6 6"}, 3},
		"more than a page moves": {"3",
			[]http.HandlerFunc{list(2, 6, 5), list(3, 8, 7, 6), list(4, 5, 4), list(0, 3)}, []string{"data 4 4", "data 5 5", "data 6 6"}, 4},
		"two pages move": {"3",
			[]http.HandlerFunc{list(2, 6, 5), list(3, 8, 7), list(4, 6, 5), list(5, 4, 3)}, []string{"data 4 4", "data 5 5", "data 6 6"}, 4},
		"two pages move, and then more": {"3",
			[]http.HandlerFunc{list(2, 6, 5), list(3, 8, 7), list(4, 7, 6), list(5, 6, 5, 4), list(6, 3)}, []string{"data 4 4", "data 5 5", "data 6 6"}, 5},
		"nothing new": {"6", []http.HandlerFunc{list(2, 6, 5)}, []string{"keepalive"}, 1},
		"no longer listed": {"old",
			[]http.HandlerFunc{list(2, 6, 5), list(0, 4)}, []string{"data 4 4 token rejected", "data 5 5", "data 6 6"}, 2},
		"pages that repeat": {"old",
			[]http.HandlerFunc{list(2, 6, 5), list(2, 6, 5)}, []string{"data 5 5 token rejected", "data 6 6"}, 2},
		"new pages without end": {"old",
			[]http.HandlerFunc{list(2, 6, 5), moving()}, []string{"data 5 5 token rejected", "data 6 6"}, 22},
		"empty last page": {"old",
			[]http.HandlerFunc{list(2, 6, 5), list(3)}, []string{"data 5 5 token rejected", "data 6 6"}, 2},
		"204 instead of a page": {"old",
			[]http.HandlerFunc{list(2, 6, 5), refuse(204)}, []string{"data 5 5 token rejected", "data 6 6"}, 2},
		"nothing is listed": {"old", []http.HandlerFunc{answer("[]")}, []string{"keepalive", "keepalive"}, 2},
		"a start":           {"", []http.HandlerFunc{list(2, 6, 5)}, []string{"data 5 5", "data 6 6"}, 1},
		"a start without events": {"",
			[]http.HandlerFunc{list(0), list(2, 6, 5), list(0, 4)}, []string{"keepalive", "data 4 4", "data 5 5", "data 6 6"}, 3},
		"a pause between pages": {"1",
			[]http.HandlerFunc{list(2, 6, 5), refuse(429, "Retry-After", "9"), list(3, 4, 3), list(0, 2, 1)},
			[]string{"data 2 2", "data 3 3", "data 4 4", "data 5 5", "data 6 6"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			pollInBubble(t, listed, func(t *testing.T, p *transport.Poll, a *answerer) {
				if strings.Contains(name, "pause") { // the first response of a connection is not tolerated
					a.answers = append([]http.HandlerFunc{list(2, 1)}, a.answers...)
					tt.want, tt.asked = append([]string{"keepalive"}, tt.want...), tt.asked+1
				}
				wantMessages(t, openPoll(t, p, tt.token), tt.want...)
				if n := len(a.requests()); n != tt.asked {
					t.Errorf("requests: got %d, want %d", n, tt.asked)
				}
			}, tt.answers...)
		})
	}
}

// A page without events that names the next one does not end the round.
func TestPollNewestFirstEmptyPage(t *testing.T) {
	p := listed
	p.Events, p.More = "events", "more"
	pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
		wantMessages(t, openPoll(t, p, "1"), "data 2 2", "data 3 3")
	}, page("", `"?page=2"`, 3), page("", `"?page=3"`), page("", "null", 2, 1))
}

// The pages of a round follow each other at once; the next round is due after the interval that
// the server asks for, and asks whether the first page has changed.
func TestPollNewestFirstRounds(t *testing.T) {
	pollInBubble(t, listed, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "2")
		wantMessages(t, c, "data 3 3", "data 4 4", "data 5 5", "data 6 6", "keepalive", "data 7 7")
		a.between(0, 0)
		a.between(1, 2*time.Minute)
		a.between(2, time.Minute)
		if got, want := a.targets(), []string{"/list", "/list?page=2", "/list", "/list"}; !slices.Equal(got, want) {
			t.Errorf("requests: got %q, want %q", got, want)
		}
		for i, want := range []string{"", "", `"6 5"`, `"6 5"`} {
			if got := a.requests()[i].header.Get("If-None-Match"); got != want {
				t.Errorf("If-None-Match of request %d: got %q, want %q", i+1, got, want)
			}
		}
	}, list(2, 6, 5), list(3, 4, 3, 2), refuse(304), list(2, 7, 6))
}

// Nothing is delivered before the last event was found, so that a failure loses nothing.
func TestPollNewestFirstFailure(t *testing.T) {
	pollInBubble(t, listed, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "5")
		wantMessages(t, c, "data 6 6")
		want[*transport.StatusError](t, readError(t, c))
		wantMessages(t, openPoll(t, p, "6"), "data 7 7", "data 8 8", "data 9 9")
		if got := a.requests()[3].header.Get("If-None-Match"); got != "" {
			t.Errorf("If-None-Match of a new connection: got %q, want none", got)
		}
	}, list(2, 6, 5), list(2, 8, 7), refuse(500), list(2, 9, 8), list(3, 7, 6))
}

// Memory is bounded: what was collected is delivered after a Gap.
func TestPollNewestFirstMaxPage(t *testing.T) {
	p := listed
	p.MaxPage = 200
	pad := strings.Repeat("x", 80)
	for token, want := range map[string]string{"1": "token rejected", "": "no token"} {
		pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
			if token == "" {
				a.answers = append([]http.HandlerFunc{list(0)}, a.answers...)
			}
			c := openPoll(t, p, token)
			if token == "" {
				wantMessages(t, c, "keepalive")
			}
			wantMessages(t, c, "data 4"+pad+" 4"+pad+" "+want, "data 5"+pad+" 5"+pad, "data 6"+pad+" 6"+pad)
		}, list(2, "6"+pad), list(3, "5"+pad), list(4, "4"+pad), list(5, "3"+pad))
	}
}

// A server that continues before a position has pages that start with the newest event. What came
// before the first page after a start without events is a Gap.
func TestPollReversedPages(t *testing.T) {
	p := perEvent
	p.NewestFirst = true
	pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
		wantMessages(t, openPoll(t, p, "1"), "data 2 2", "data 3 3", "data 4 4", "keepalive")
		if got, want := a.targets(), []string{"/list?after=1", "/list?after=3", "/list?after=4"}; !slices.Equal(got, want) {
			t.Errorf("requests: got %q, want %q", got, want)
		}
	}, page("", "true", 3, 2), page("", "false", 4), page("", "false"))
	pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
		wantMessages(t, openPoll(t, p, ""), "data 2 2", "data 3 3")
	}, page("", "true", 3, 2))
	pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
		wantMessages(t, openPoll(t, p, ""), "keepalive", "data 2 2 no token", "data 3 3")
	}, page("", "false"), page("", "true", 3, 2))
}

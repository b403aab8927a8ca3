package transport_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// An answerer answers the requests for pages, each in its turn. The last answer is repeated.
type answerer struct {
	t       testing.TB
	answers []http.HandlerFunc
	start   time.Time

	mu    sync.Mutex
	asked []request
}

// A request is what an answerer was asked for.
type request struct {
	at     time.Duration // since the start
	target string        // path and query
	header http.Header
}

func (a *answerer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked = append(a.asked, request{time.Since(a.start), r.URL.RequestURI(), r.Header})
	answer := a.answers[min(len(a.asked), len(a.answers))-1]
	a.mu.Unlock()
	answer(w, r)
}

func (a *answerer) requests() []request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

func (a *answerer) targets() (all []string) {
	for _, r := range a.requests() {
		all = append(all, r.target)
	}
	return all
}

// between checks the time from request i to the next one. By default up to a tenth may be added.
func (a *answerer) between(i int, d time.Duration) {
	a.t.Helper()
	all := a.requests()
	if len(all) < i+2 {
		a.t.Fatalf("requests: got %d, want %d or more", len(all), i+2)
	}
	if got := all[i+1].at - all[i].at; got < d || got > d+d/10 {
		a.t.Errorf("time from request %d to the next: got %v, want %v and up to a tenth more", i+1, got, d)
	}
}

// pollInBubble runs test with a Poll whose server gives the answers.
func pollInBubble(t *testing.T, p transport.Poll, test func(*testing.T, *transport.Poll, *answerer), answers ...http.HandlerFunc) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := &answerer{t: t, answers: answers, start: time.Now()}
		p := p // go vet: a Poll has no lock
		p.Client = inMemory(t, a.ServeHTTP)
		if p.URL == "" {
			p.URL = "http://feed.test/list"
		}
		test(t, &p, a)
	})
}

// forward is a feed with a cursor in the body.
var forward = transport.Poll{
	Resume: transport.ResumeQuery("after"), Events: "events", ID: "id", Cursor: "cursor", More: "more",
}

// perEvent is a feed whose events are positions.
var perEvent = transport.Poll{Resume: transport.ResumeQuery("after"), Events: "events", ID: "id", More: "more"}

// listed is a feed that presents no position.
var listed = transport.Poll{ID: "id", NewestFirst: true}

// answer answers with a page.
func answer(text string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		io.WriteString(w, text)
	}
}

func refuse(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// events returns the JSON of events with these ids.
func events(ids ...any) string {
	var all []string
	for _, id := range ids {
		all = append(all, fmt.Sprintf(`{"id":%q}`, fmt.Sprint(id)))
	}
	return "[" + strings.Join(all, ",") + "]"
}

func page(cursor, more string, ids ...any) http.HandlerFunc {
	return answer(fmt.Sprintf(`{"events":%s,"cursor":%q,"more":%s}`, events(ids...), cursor, more))
}

func openPoll(t testing.TB, p *transport.Poll, token string) *transport.Session {
	t.Helper()
	s, err := p.Open(t.Context(), token)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// wantMessages reads messages and compares each with "kind id token", and "gap" if there is one.
func wantMessages(t testing.TB, c transport.Conn, want ...string) {
	t.Helper()
	for i, w := range want {
		m := read(t, c)
		got := fmt.Sprintf("%s %s %s", kinds[m.Kind], m.ID, m.Token)
		if m.Gap != nil {
			got += " " + string(m.Gap.Reason)
		}
		if got = strings.TrimSpace(got); got != w {
			t.Fatalf("message %d: got %q, want %q", i+1, got, w)
		}
	}
}

var kinds = map[decode.Kind]string{decode.KindData: "data", decode.KindKeepalive: "keepalive", decode.KindPosition: "position"}

func TestPollPageIsAcknowledgedAsAWhole(t *testing.T) {
	pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "c0")
		wantMessages(t, c, "data 1", "data 2", "data 3 c1", "data 4 c2", "keepalive", "keepalive")
		want := []string{"/list?after=c0", "/list?after=c1", "/list?after=c2", "/list?after=c2"}
		if got := a.targets(); !slices.Equal(got, want) {
			t.Errorf("requests: got %q, want %q", got, want)
		}
		a.between(0, 0)
		a.between(1, time.Minute)
		a.between(2, time.Minute)
	}, page("c1", "true", 1, 2, 3), page("c2", "false", 4), page("c2", "false"))
}

// Each way to report more events is followed at once; without one, the next request is due after
// Interval.
func TestPollFullPage(t *testing.T) {
	last := page("", "null")
	for name, tt := range map[string]struct {
		change func(*transport.Poll)
		first  http.HandlerFunc
		second string        // target of the second request
		wait   time.Duration // before it
	}{
		"more true":       {nil, page("", "true", 1, 2), "/list?after=2", 0},
		"more cursor":     {nil, page("", `"abc"`, 1, 2), "/list?after=2", 0},
		"more URL":        {nil, page("", `"/list?page=2"`, 1, 2), "/list?page=2", 0},
		"more query":      {nil, page("", `"?page=2"`, 1, 2), "/list?page=2", 0},
		"more false":      {nil, page("", "false", 1, 2), "/list?after=2", time.Minute},
		"more 0":          {nil, page("", "0", 1, 2), "/list?after=2", time.Minute},
		"more null":       {nil, page("", "null", 1, 2), "/list?after=2", time.Minute},
		"no more":         {nil, answer(`{"events":[{"id":"2"}]}`), "/list?after=2", time.Minute},
		"limit":           {func(p *transport.Poll) { p.Limit = 2 }, page("", "null", 1, 2), "/list?after=2", 0},
		"below the limit": {func(p *transport.Poll) { p.Limit = 3 }, page("", "null", 1, 2), "/list?after=2", time.Minute},
		"link": {func(p *transport.Poll) { p.More = "" },
			answer(`{"events":[{"id":"2"}]}`, "Link", `<https://x.test/>; rel=prev, </list?page=2>; rel="next"`), "/list?page=2", 0},
		"link and more false": {nil,
			answer(`{"events":[{"id":"2"}],"more":false}`, "Link", `</list?page=2>; rel="next"`), "/list?after=2", time.Minute},
		"empty page with a link": {func(p *transport.Poll) { p.More = "" },
			answer(`{"events":[]}`, "Link", `</list?page=2>; rel="next"`), "/list", time.Minute},
		"empty page with a URL": {nil, page("", `"/list?page=2"`), "/list?page=2", 0},
		"empty page with more":  {nil, page("", "true"), "/list", time.Minute}, // the same request again
		"OnPage more": {func(p *transport.Poll) {
			p.OnPage = func(page *transport.Page) error { page.More = true; return nil }
		}, page("", "null", 1, 2), "/list?after=2", 0},
		"OnPage next": {func(p *transport.Poll) {
			p.OnPage = func(page *transport.Page) error { page.Next = "other"; return nil }
		}, page("", "null", 1, 2), "/other", 0},
		"interval": {func(p *transport.Poll) { p.Interval = time.Hour }, page("", "null", 1, 2), "/list?after=2", time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			pollInBubble(t, perEvent, func(t *testing.T, p *transport.Poll, a *answerer) {
				if tt.change != nil {
					tt.change(p)
				}
				c := openPoll(t, p, "")
				for len(a.requests()) < 2 {
					read(t, c)
				}
				if got := a.targets()[1]; got != tt.second {
					t.Errorf("second request: got %q, want %q", got, tt.second)
				}
				a.between(0, tt.wait)
			}, tt.first, last)
		})
	}
}

// The pauses of many connections differ.
func TestPollJitter(t *testing.T) {
	pollInBubble(t, perEvent, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "")
		for range 20 {
			read(t, c)
		}
		all, different := a.requests(), make(map[time.Duration]bool)
		for i := 1; i < len(all); i++ {
			a.between(i-1, time.Minute)
			different[all[i].at-all[i-1].at] = true
		}
		if len(different) < 10 {
			t.Errorf("pauses: got %d different ones of %d, want 10 or more", len(different), len(all)-1)
		}
	}, page("", "null"))
}

// The longest interval must not overflow, because the next request would be due at once.
func TestPollLongestInterval(t *testing.T) {
	p := perEvent
	p.Interval = math.MaxInt64
	pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "")
		wantMessages(t, c, "data 1 1")
		time.AfterFunc(time.Hour, func() { c.Close() })
		if err := readError(t, c); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read: got %v, want %v", err, net.ErrClosed)
		}
		if n := len(a.requests()); n != 1 {
			t.Errorf("requests: got %d, want 1", n)
		}
	}, page("", "null", 1), page("", "null"))
}

// inCycle answers with a cursor that returns to an earlier one after three pages.
func inCycle(w http.ResponseWriter, r *http.Request) {
	next := map[string]string{"c0": "c1", "c1": "c2", "c2": "c3", "c3": "c1"}[r.URL.Query().Get("after")]
	page(next, "true", 1)(w, r)
}

// A position that does not advance is not asked for again at once, and is reported if it repeats.
func TestPollPositionDoesNotAdvance(t *testing.T) {
	for name, answers := range map[string][]http.HandlerFunc{
		"same cursor": {page("c1", "true", 1)},
		"same link":   {answer(`{"events":[{"id":"1"}],"cursor":"c0","more":"/list?page=2"}`)},
		"a cycle":     {inCycle},
	} {
		t.Run(name, func(t *testing.T) {
			pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
				c := openPoll(t, p, "c0")
				var err error
				for range 40 {
					if _, err = readFrom(c); err != nil {
						break
					}
				}
				want[*transport.ProtocolError](t, err)
				if got := class(err); got != "protocol" {
					t.Errorf("class: got %q, want protocol", got)
				}
				all := a.requests()
				if took := all[len(all)-1].at; took < time.Minute {
					t.Errorf("%d requests: got all within %v, want a pause of a minute", len(all), took)
				}
				if len(all) > 15 {
					t.Errorf("requests until the error: got %d, want at most 15", len(all))
				}
			}, answers...)
		})
	}
}

// A page that repeats its last event is not an error: since is inclusive in many feeds.
func TestPollInclusivePosition(t *testing.T) {
	pollInBubble(t, perEvent, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "")
		wantMessages(t, c, "data 1 1", "data 1 1", "data 1 1", "data 1 1")
		a.between(0, time.Minute)
		a.between(1, time.Minute)
	}, page("", "null", 1))
}

// A server may have skipped events that a filter excludes.
func TestPollEmptyPages(t *testing.T) {
	t.Run("position", func(t *testing.T) {
		pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
			c := openPoll(t, p, "c0")
			wantMessages(t, c, "position  c1", "position  c2", "data 7 c3", "keepalive")
			a.between(0, 0)
			a.between(1, 0)
			a.between(2, time.Minute)
		}, page("c1", "true"), page("c2", "true"), page("c3", "false", 7), page("c3", "false"))
	})
	t.Run("without end", func(t *testing.T) {
		var n int
		pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
			c := openPoll(t, p, "c0")
			for range 99 {
				read(t, c)
			}
			all := a.requests()
			if got := all[len(all)-1].at; got < 4*time.Minute || got > 5*time.Minute {
				t.Errorf("time of %d requests without events: got %v, want 4 to 5 minutes", len(all), got)
			}
		}, func(w http.ResponseWriter, r *http.Request) {
			n++
			page(fmt.Sprint("x", n), "true")(w, r)
		})
	})
}

func TestPollKeepalives(t *testing.T) {
	etag := []string{"ETag", `W/"1"`, "Last-Modified", "Mon, 30 Nov 2026 10:00:00 GMT"}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		wait   time.Duration // after it
	}{
		"304":                         {refuse(304), time.Minute},
		"304 with an interval":        {refuse(304, "X-Poll-Interval", "120"), 2 * time.Minute},
		"304 with a shorter interval": {refuse(304, "X-Poll-Interval", "5"), time.Minute},
		"304 with an absurd interval": {refuse(304, "X-Poll-Interval", "99999999999999999999"), 15 * time.Minute},
		"204":                         {refuse(204), time.Minute},
		"empty":                       {page("c0", "false"), time.Minute},
		"empty with Retry-After":      {answer(`{"events":[]}`, "Retry-After", "300"), 5 * time.Minute},
		"429":                         {refuse(429, "Retry-After", "7"), 7 * time.Second},
		"503":                         {refuse(503, "Retry-After", "7"), 7 * time.Second},
		"403 of GitHub":               {refuse(403, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "600"), 10 * time.Minute},
		"429 with an absurd delay":    {refuse(429, "Retry-After", "99999999"), 15 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
				c := openPoll(t, p, "c0")
				wantMessages(t, c, "keepalive", "keepalive", "keepalive")
				a.between(1, tt.wait)
				all := a.requests()
				if got := all[1].header.Get("If-None-Match"); got != etag[1] {
					t.Errorf("If-None-Match: got %q, want %q", got, etag[1])
				}
				if got := all[1].header.Get("If-Modified-Since"); got != etag[3] {
					t.Errorf("If-Modified-Since: got %q, want %q", got, etag[3])
				}
			}, answer(`{"events":[],"cursor":"c0"}`, etag...), tt.answer, page("c0", "false"))
		})
	}
}

// Validators belong to a position.
func TestPollValidators(t *testing.T) {
	pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "c0")
		wantMessages(t, c, "data 1 c1", "keepalive")
		if got := a.requests()[1].header.Get("If-None-Match"); got != "" {
			t.Errorf("If-None-Match of another position: got %q, want none", got)
		}
	}, answer(`{"events":[{"id":"1"}],"cursor":"c1"}`, "ETag", `"1"`), answer(`{"events":[]}`))
	pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "c0")
		wantMessages(t, c, "data 1 c1")
		want[*transport.ProtocolError](t, readError(t, c))
	}, answer(`{"events":[{"id":"1"}],"cursor":"c1"}`), refuse(304))
}

// A 304 to a request without validators is not a page that is unchanged.
func TestPollUnconditional304(t *testing.T) {
	pollInBubble(t, listed, func(t *testing.T, p *transport.Poll, a *answerer) {
		_, err := p.Open(t.Context(), "")
		want[*transport.ProtocolError](t, err)
	}, refuse(304))
	pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "c0")
		wantMessages(t, c, "keepalive")
		want[*transport.ProtocolError](t, readError(t, c))
	}, page("c0", "false"), refuse(304))
}

func TestPollRefusals(t *testing.T) {
	busy := refuse(429, "Retry-After", "7")
	t.Run("of the first request", func(t *testing.T) {
		pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
			_, err := p.Open(t.Context(), "")
			if got := want[*transport.StatusError](t, err).RetryAfter(); got != 7*time.Second {
				t.Errorf("RetryAfter: got %v, want 7s", got)
			}
		}, busy)
	})
	t.Run("three in a row", func(t *testing.T) {
		pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
			c := openPoll(t, p, "")
			wantMessages(t, c, "data 1 c1", "keepalive", "keepalive", "data 2 c2", "keepalive", "keepalive")
			want[*transport.StatusError](t, readError(t, c))
			a.between(0, 0)
			a.between(1, 7*time.Second)
			a.between(2, 7*time.Second)
		}, page("c1", "true", 1), busy, busy, page("c2", "false", 2), busy, busy, busy)
	})
	for _, code := range []int{204, 304} {
		t.Run(fmt.Sprint("interrupted by ", code), func(t *testing.T) {
			quiet := refuse(code)
			pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
				c := openPoll(t, p, "c0")
				wantMessages(t, c, "keepalive", "keepalive", "keepalive", "keepalive", "keepalive", "keepalive")
			}, answer(`{"events":[],"cursor":"c0"}`, "ETag", `"1"`), busy, quiet, busy, quiet, busy)
		})
	}
	for name, reply := range map[string]http.HandlerFunc{
		"without a delay": refuse(503), "500": refuse(500, "Retry-After", "7"), "404": refuse(404, "Retry-After", "7"),
	} {
		t.Run(name, func(t *testing.T) {
			pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
				c := openPoll(t, p, "")
				wantMessages(t, c, "data 1 c1")
				want[*transport.StatusError](t, readError(t, c))
			}, page("c1", "true", 1), reply)
		})
	}
	t.Run("410", func(t *testing.T) {
		pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
			_, err := p.Open(t.Context(), "old")
			if got := class(err); got != "token rejected" {
				t.Errorf("class: got %q, want token rejected", got)
			}
		}, refuse(410))
	})
}

// A page whose URL has expired does not reject the position, from which the next connection resumes.
func TestPollNextPageIsGone(t *testing.T) {
	pollInBubble(t, perEvent, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "0")
		wantMessages(t, c, "data 1 1")
		e := want[*transport.StatusError](t, readError(t, c))
		if e.Resuming || e.RejectsToken() {
			t.Errorf("got %v with Resuming %t and RejectsToken %t, want false", e, e.Resuming, e.RejectsToken())
		}
	}, page("", `"/list?page=2"`, 1), refuse(410))
}

// A request of long polling that was held is followed at once.
func TestPollLongPolling(t *testing.T) {
	held := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(50 * time.Second)
		answer(`{"events":[]}`)(w, r)
	}
	p := forward
	p.Interval = time.Second
	pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "c0")
		wantMessages(t, c, "keepalive", "keepalive", "data 1 c1", "keepalive")
		a.between(0, 50*time.Second)
		a.between(1, 50*time.Second)
		a.between(2, time.Second)
	}, held, held, page("c1", "false", 1), held)
}

func TestPollTimeout(t *testing.T) {
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	slow := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"events":[`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	for name, reply := range map[string]http.HandlerFunc{"header": silent, "body": slow} {
		for _, timeout := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprint(name, " ", timeout), func(t *testing.T) {
				p := forward
				p.Timeout = timeout
				limit := max(timeout, 90*time.Second)
				if timeout != 0 {
					limit = timeout
				}
				pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
					c := openPoll(t, p, "c0")
					wantMessages(t, c, "data 1 c1")
					start := time.Now()
					e := want[*transport.TimeoutError](t, readError(t, c))
					if got := time.Since(start); got != limit || e.After != limit || e.Op != "page" {
						t.Errorf("got %v after %v, want one of page after %v", e, got, limit)
					}
				}, page("c1", "true", 1), reply)
			})
		}
	}
}

func TestPollEncodings(t *testing.T) {
	gzipped := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		io.WriteString(zw, `{"events":[{"id":"1"}],"cursor":"c1"}`)
		zw.Close()
	}
	for name, reply := range map[string]http.HandlerFunc{
		"gzip":            gzipped,
		"byte order mark": answer("\ufeff" + `{"events":[{"id":"1"}],"cursor":"c1"}`),
		"white space":     answer(" \r\n" + ` { "events" : [ {"id":"1"} ] , "cursor" : "c1" } ` + "\n"),
		"number":          answer(`{"events":[{"id":1}],"cursor":"c1"}`),
	} {
		t.Run(name, func(t *testing.T) {
			pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
				wantMessages(t, openPoll(t, p, ""), "data 1 c1")
			}, reply)
		})
	}
	t.Run("null", func(t *testing.T) {
		pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
			wantMessages(t, openPoll(t, p, ""), "position  c1")
		}, answer(`{"events":null,"cursor":"c1"}`))
	})
}

// What is not a page is an error without anything secret, and no event of it is delivered.
func TestPollBadPages(t *testing.T) {
	small := forward
	small.MaxPage = 100
	own := perEvent
	for name, tt := range map[string]struct {
		poll   transport.Poll
		answer http.HandlerFunc
		class  string
		text   string
	}{
		"truncated":           {forward, answer(`{"events":[{"id":"secret-1"},{"id":"sec`), "protocol", "not valid JSON"},
		"cut off":             {forward, answer(`{"events":[{"id":"secret-1"},{"id":"sec`, "Content-Length", "1000"), "network", "unexpected EOF"},
		"empty body":          {forward, answer(""), "protocol", "not valid JSON"},
		"no array":            {forward, answer(`{"error":"secret-2"}`), "protocol", "no array"},
		"an object":           {forward, answer(`{"events":{"secret-1":1}}`), "protocol", "no array"},
		"an array instead":    {forward, answer(`["secret-1"]`), "protocol", "no array"},
		"HTML":                {forward, answer("<html>secret-1", "Content-Type", "text/html"), "protocol", "HTML"},
		"too large":           {small, answer(`{"events":["` + strings.Repeat("secret-1", 20) + `"],"cursor":"1"}`), "protocol", "MaxPage"},
		"not gzip":            {forward, answer(`{"events":["secret-1"]}`, "Content-Encoding", "gzip"), "protocol", "not gzip"},
		"unknown encoding":    {forward, answer(`{"events":["secret-1"]}`, "Content-Encoding", "br"), "protocol", "content encoding"},
		"205":                 {forward, refuse(205), "protocol", "status 205"},
		"no positions":        {own, answer(`{"events":[{"no":"secret-1"},7,"secret-2",null]}`), "protocol", "no event of the page has a position"},
		"no position, listed": {listed, answer(`[{"id":"1"},{"no":"secret-1"}]`), "protocol", "an event has no position"},
		"next elsewhere":      {own, answer(`{"events":[{"id":"1"}],"more":"http://other.test/secret-1"}`), "protocol", "TrustedOrigins"},
		"next without TLS":    {own, answer(`{"events":[{"id":"1"}],"more":"ftp://feed.test/secret-1"}`), "protocol", "no valid http"},
		"redirect elsewhere":  {forward, refuse(302, "Location", "http://other.test/secret-1"), "protocol", "TrustedOrigins"},
		"error status":        {forward, refuse(400), "permanent", "400 Bad Request"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.poll.URL = "http://feed.test/secret-3?key=secret-4"
			tt.poll.Header = http.Header{"Authorization": {"secret-5"}}
			pollInBubble(t, tt.poll, func(t *testing.T, p *transport.Poll, a *answerer) {
				_, err := p.Open(t.Context(), "secret-6")
				if err == nil {
					t.Fatal("Open: got no error, want one")
				}
				if got := class(err); got != tt.class {
					t.Errorf("class: got %q, want %q", got, tt.class)
				}
				if !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "secret") {
					t.Errorf("error: got %q, want %q in it and nothing secret", err, tt.text)
				}
			}, tt.answer, answer(`{"events":[{"id":"2"}],"cursor":"c"}`))
		})
	}
}

func TestPollMaxPage(t *testing.T) {
	for limit, ok := range map[int]bool{0: true, -1: true, 41: true, 40: false} {
		p := forward
		p.MaxPage = limit
		pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
			c, err := p.Open(t.Context(), "")
			if (err == nil) != ok {
				t.Errorf("MaxPage %d: got %v, want success %t", limit, err, ok)
			}
			if err == nil {
				c.Close()
			}
		}, answer(`{"events":[{"id":"1"}],"cursor":"c1"}    `))
	}
}

// Each request is prepared, and those after a 401 with fresh credentials. A next page of the same
// origin gets the same.
// A page of tiny events is bounded too: each costs much more memory than its bytes.
func TestPollManyEvents(t *testing.T) {
	tiny := func(n int) http.HandlerFunc {
		return answer(`{"cursor":"c1","events":[0` + strings.Repeat(",0", n-1) + `]}`)
	}
	for limit, most := range map[int]int{64 << 10: 1024, 128 << 10: 2048} {
		p := forward
		p.MaxPage = limit
		pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
			c := openPoll(t, p, "c0")
			for range most {
				read(t, c)
			}
			e := want[*transport.ProtocolError](t, readError(t, c))
			if !strings.Contains(e.Reason, "MaxPage") {
				t.Errorf("got %v, want the name of the limit", e)
			}
		}, tiny(most), tiny(most+1))
	}
}

func TestPollCredentials(t *testing.T) {
	p := perEvent
	p.URL = "http://me:pw@feed.test/list"
	key := "old"
	p.Header = http.Header{"X-Key": {"k"}}
	p.Prepare = func(r *http.Request) error {
		if transport.CredentialsRejected(r.Context()) {
			key = "new"
		}
		r.Header.Set("X-Credentials", key)
		return nil
	}
	guarded := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			if r.Header.Get("X-Credentials") != "new" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			if user+password+r.Header.Get("X-Key") != "mepwk" {
				t.Errorf("%s: got header %v, want the user and X-Key", r.URL, r.Header)
			}
			next(w, r)
		}
	}
	pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "")
		wantMessages(t, c, "data 1 1", "data 2 2", "keepalive")
		if got, want := a.targets(), []string{"/list", "/list", "/list?page=2", "/list?after=2"}; !slices.Equal(got, want) {
			t.Errorf("requests: got %q, want %q", got, want)
		}
	}, guarded(nil), guarded(page("", `"http://feed.test/list?page=2"`, 1)), guarded(page("", "null", 2)), guarded(page("", "null")))
}

// A next page of a trusted origin is asked of that host, and may redirect to the first one.
func TestPollNextPageOfAnotherOrigin(t *testing.T) {
	p := perEvent
	p.Header = http.Header{"Host": {"virtual.test"}}
	p.TrustedOrigins = []string{"http://other.test"}
	var hosts []string
	noting := func(answer http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			hosts = append(hosts, r.Host)
			answer(w, r)
		}
	}
	pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
		wantMessages(t, openPoll(t, p, "0"), "data 1 1", "data 2 2")
		if want := []string{"virtual.test", "other.test", "feed.test"}; !slices.Equal(hosts, want) {
			t.Errorf("hosts: got %q, want %q", hosts, want)
		}
	}, noting(page("", `"http://other.test/list?page=2"`, 1)),
		noting(refuse(302, "Location", "http://feed.test/list?page=2")), noting(page("", "false", 2)))
}

func TestPollOnPage(t *testing.T) {
	failure := errors.New("failure")
	t.Run("error", func(t *testing.T) {
		p := forward
		p.OnPage = func(*transport.Page) error { return failure }
		pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
			if _, err := p.Open(t.Context(), ""); !errors.Is(err, failure) {
				t.Errorf("Open: got %v, want %v", err, failure)
			}
		}, page("c1", "false", 1))
	})
	t.Run("complete", func(t *testing.T) {
		p := forward
		p.OnPage = func(p *transport.Page) error {
			if p.Token == "c2" {
				return transport.ErrComplete
			}
			p.Events[0].Type, p.Token = p.Header.Get("X-Kind"), p.Token+"!"
			return nil
		}
		pollInBubble(t, p, func(t *testing.T, p *transport.Poll, a *answerer) {
			c := openPoll(t, p, "")
			if m := read(t, c); m.Type != "kind" || m.Token != "c1!" {
				t.Errorf("message: got type %q and token %q, want kind and c1!", m.Type, m.Token)
			}
			wantMessages(t, c, "data 2 c2")
			if err := readError(t, c); err != transport.ErrComplete {
				t.Errorf("Read: got %v, want ErrComplete", err)
			}
		}, answer(`{"events":[{"id":"1"}],"cursor":"c1","more":true}`, "X-Kind", "kind"), page("c2", "true", 2))
	})
}

func TestPollSince(t *testing.T) {
	collect := func(t *testing.T, p *transport.Poll) (ids []string, err error) {
		for m, e := range p.Since(t.Context(), "c0") {
			if err = e; e == nil {
				ids = append(ids, m.ID)
			}
		}
		return ids, err
	}
	for name, tt := range map[string]struct {
		answers []http.HandlerFunc
		want    string
		fails   bool
	}{
		"nothing":  {[]http.HandlerFunc{page("c0", "false")}, "[]", false},
		"pages":    {[]http.HandlerFunc{page("c1", "true", 1, 2), page("c2", "false", 3), page("c3", "false", 4)}, "[1 2 3]", false},
		"a pause":  {[]http.HandlerFunc{page("c1", "true", 1, 2), refuse(429, "Retry-After", "5"), page("c2", "false", 3)}, "[1 2 3]", false},
		"an error": {[]http.HandlerFunc{page("c1", "true", 1, 2), refuse(500)}, "[1 2]", true},
		"refused":  {[]http.HandlerFunc{refuse(500)}, "[]", true},
		"no end":   {[]http.HandlerFunc{page("c1", "true", 1)}, "[1 1]", true},
	} {
		t.Run(name, func(t *testing.T) {
			pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
				ids, err := collect(t, p)
				if fmt.Sprint(ids) != tt.want || (err != nil) != tt.fails {
					t.Errorf("got %v and %v, want %v and an error: %t", ids, err, tt.want, tt.fails)
				}
			}, tt.answers...)
		})
	}
	t.Run("left early", func(t *testing.T) {
		pollInBubble(t, forward, func(t *testing.T, p *transport.Poll, a *answerer) {
			for range p.Since(t.Context(), "") {
				break
			}
			if n := len(a.requests()); n != 1 {
				t.Errorf("requests: got %d, want 1", n)
			}
		}, page("c1", "true", 1, 2))
	})
}

func TestPollValidate(t *testing.T) {
	valid := map[string]transport.Poll{"forward": forward, "per event": perEvent, "listed": listed}
	for name, p := range valid {
		p.URL = "https://feed.test/"
		if err := p.Validate(); err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
	}
	bad := transport.Poll{
		URL: "feed.test/secret", Header: http.Header{"a b": nil}, TrustedOrigins: []string{"x"},
		Cursor: "a", Token: "b", Confirms: true, Limit: -1, Interval: -1,
	}
	err := bad.Validate()
	for _, field := range []string{"URL", "Header", "TrustedOrigins", "Resume", "Cursor", "Confirms", "Limit", "Interval"} {
		if err == nil || !strings.Contains(err.Error(), "Poll."+field+": ") {
			t.Errorf("Validate: got %v, want a problem of Poll.%s", err, field)
		}
	}
	if strings.Contains(fmt.Sprint(err), "secret") {
		t.Errorf("Validate shows the URL: %v", err)
	}
	if _, err := bad.Open(t.Context(), ""); retryable(err) != "false" {
		t.Errorf("Open: got retryable %q, want false", retryable(err))
	}
	none := transport.Poll{URL: "https://feed.test/", Resume: transport.ResumeQuery("x")}
	if err := none.Validate(); err == nil || !strings.Contains(err.Error(), "Poll.Cursor: missing") {
		t.Errorf("Validate without a position: got %v, want a problem of Poll.Cursor", err)
	}
}

// Read sets every field, and the data of one event is not part of another's.
func TestPollDataIsOwned(t *testing.T) {
	pollInBubble(t, perEvent, func(t *testing.T, p *transport.Poll, a *answerer) {
		c := openPoll(t, p, "")
		first := read(t, c)
		second := read(t, c)
		_ = append(first.Data, "xxxxxxxxxxxxxxxx"...)
		if got := string(second.Data); got != `{"id":"2"}` {
			t.Errorf("second event: got %s, want it unchanged", got)
		}
		if want := (transport.Message{Data: second.Data, ID: "2", Token: "2", Kind: decode.KindData}); !reflect.DeepEqual(second, want) {
			t.Errorf("message: got %+v, want %+v", second, want)
		}
	}, page("", "null", 1, 2))
}

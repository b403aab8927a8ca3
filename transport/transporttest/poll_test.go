package transporttest_test

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/transporttest"
)

// A pages is a server of pages that plays a script. Each request has its own connection, so that
// the clean end of the feed's is one that OnPage reports.
type pages struct {
	transporttest.Script
	newestFirst bool
	size        int
	start       time.Time
	listed      bool // newestFirst: all events were sent
}

func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.Dial == transporttest.DialSilent {
		<-r.Context().Done()
		return
	}
	if p.start.IsZero() {
		p.start = time.Now()
	}
	events, due := []string(nil), p.start
	for _, e := range p.Events {
		if due = due.Add(e.Pause); due.After(time.Now()) {
			break
		}
		events = append(events, e.Data)
	}
	token, over := r.URL.Query().Get("after"), len(events) == len(p.Events)
	switch {
	case p.newestFirst && p.listed && p.Ending != transporttest.EndingStay:
		p.end(w)
	case p.newestFirst:
		p.newest(w, r, events)
		p.listed = over
	default:
		after := slices.IndexFunc(p.Events, func(e transporttest.Event) bool { return e.Token == token }) + 1
		rest := events[min(after, len(events)):]
		if over && len(rest) == 0 && token != "" {
			p.end(w)
			return
		}
		fmt.Fprintf(w, `{"events":[%s]}`, strings.Join(rest[:min(p.size, len(rest))], ","))
	}
}

// newest answers with a page of the newest events.
func (p *pages) newest(w http.ResponseWriter, r *http.Request, events []string) {
	n, _ := strconv.Atoi(cmp.Or(r.URL.Query().Get("page"), "0"))
	slices.Reverse(events)
	from := min(n*p.size, len(events))
	to := min(from+p.size, len(events))
	if to < len(events) {
		w.Header().Set("Link", fmt.Sprintf(`<?page=%d>; rel="next"`, n+1))
	}
	fmt.Fprintf(w, `{"events":[%s]}`, strings.Join(events[from:to], ","))
}

func (p *pages) end(w http.ResponseWriter) {
	switch p.Ending {
	case transporttest.EndingCut:
		panic(http.ErrAbortHandler)
	case transporttest.EndingPartial:
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"events":[{"id":"secret-x"`)
	default:
		fmt.Fprintf(w, `{"events":[],"end":%d}`, p.Ending)
	}
}

// onPage reports the end of the feed or of the connection.
func onPage(p *transport.Page) error {
	switch decode.Field(p.Body, "end") {
	case fmt.Sprint(transporttest.EndingClean):
		return io.EOF
	case fmt.Sprint(transporttest.EndingComplete):
		return transport.ErrComplete
	}
	return nil
}

func TestPollInMemory(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			transporttest.RunInBubble(t, func(t testing.TB, s transporttest.Script) transport.Transport {
				return startPoll(t, &pages{Script: s, size: 7}, scheme)
			})
		})
	}
}

// All events are on the first page, because the feed starts with that.
func TestPollNewestFirst(t *testing.T) {
	transporttest.RunInBubble(t, func(t testing.TB, s transporttest.Script) transport.Transport {
		p := startPoll(t, &pages{Script: s, size: 100, newestFirst: true}, "http")
		if p, ok := p.(*transport.Poll); ok {
			p.NewestFirst, p.Resume = true, nil
		}
		return p
	})
}

func startPoll(t testing.TB, p *pages, scheme string) transport.Transport {
	srv := mock.NewServer(p)
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	poll := &transport.Poll{
		URL: scheme + "://feed.test/events?key=secret-0", Client: srv.Client(), Resume: transport.ResumeQuery("after"),
		Events: "events", ID: "id", Limit: p.size, Interval: 50 * time.Millisecond,
		OnPage: onPage,
	}
	if p.Misconfigured {
		poll.URL = "feed.test/?key=secret-0"
	}
	if p.Dial == transporttest.DialRefused {
		poll.URL = scheme + "://feed.test:9/events?key=secret-0"
	}
	return poll
}

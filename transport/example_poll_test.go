package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// GitHub's events are listed newest first, and no position can be presented. An ETag makes the
// answer a 304 if nothing is new, X-Poll-Interval is the pause, and older pages are linked
// (https://docs.github.com/en/rest/activity/events, read in November 2026).
func ExamplePoll_gitHub() {
	srv := httptest.NewServer(http.HandlerFunc(gitHub))
	defer srv.Close()

	feed := &transport.Poll{
		URL:         srv.URL + "/repos/golang/go/events?per_page=2", // https://api.github.com, and per_page=100
		Header:      http.Header{"Accept": {"application/vnd.github+json"}},
		ID:          "id",
		NewestFirst: true,
	}
	sub, err := client.Subscribe(context.Background(), feed, &client.Options{
		StartAfter: "101", // or a Store
		Dedupe:     300,   // if the last event is no longer listed, all others come again
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ev.ID, decode.Field(ev.Data, "type"))
		if ev.ID == "105" {
			break
		}
	}
	// Output:
	// 102 PushEvent
	// 103 PushEvent
	// 104 PushEvent
	// 105 PushEvent
}

// gitHub lists the events 105 to 100.
func gitHub(w http.ResponseWriter, r *http.Request) {
	const etag = `"a18c3bded88eb5dbb5c849a489412bf3"`
	w.Header().Set("X-Poll-Interval", "60")
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	page = max(page, 1)
	if page == 1 && r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("ETag", etag)
	if page < 3 {
		w.Header().Set("Link", fmt.Sprintf(`<http://%s/repos/golang/go/events?per_page=2&page=%d>; rel="next"`, r.Host, page+1))
	}
	id := 107 - 2*page
	fmt.Fprintf(w, `[{"id":"%d","type":"PushEvent"},{"id":"%d","type":"PushEvent"}]`, id, id-1)
}

// A request of Telegram's getUpdates is held until there is an update, and deletes those before its
// offset (https://core.telegram.org/bots/api#getupdates, read in November 2026). With Confirms, an
// update is deleted once it is acknowledged, so that a crash loses none.
func ExamplePoll_telegram() {
	bot := &telegram{updates: []int{7, 8, 9}}
	srv := httptest.NewServer(bot)
	defer srv.Close()

	feed := &transport.Poll{
		URL:    srv.URL + "/bot123:secret/getUpdates?timeout=50&limit=2", // https://api.telegram.org, and limit=100
		Resume: offset,
		Events: "result",
		ID:     "update_id",
		Limit:  2,

		Confirms: true,
		Interval: time.Second,
		Timeout:  time.Minute, // longer than timeout=50
	}
	sub, err := client.Subscribe(context.Background(), feed, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("update", ev.ID)
		if ev.ID == "9" {
			break
		}
	}
	sub.Close()
	srv.Close()
	fmt.Println("offsets:", bot.offsets[:2])
	// Output:
	// update 7
	// update 8
	// update 9
	// offsets: [ 9]
}

// offset asks for the updates after a position.
func offset(r *http.Request, token string) error {
	id, err := strconv.ParseInt(token, 10, 64)
	if err != nil {
		return errors.New("the position is not an update_id")
	}
	return transport.ResumeQuery("offset")(r, strconv.FormatInt(id+1, 10))
}

type telegram struct {
	updates []int
	offsets []string // that were asked for
}

func (b *telegram) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	b.offsets = append(b.offsets, query.Get("offset"))
	first, _ := strconv.Atoi(query.Get("offset"))
	b.updates = slices.DeleteFunc(b.updates, func(id int) bool { return id < first })
	if len(b.updates) == 0 {
		<-r.Context().Done() // for 50 s
		return
	}
	var result []string
	for _, id := range b.updates[:min(2, len(b.updates))] {
		result = append(result, fmt.Sprintf(`{"update_id":%d,"message":{}}`, id))
	}
	fmt.Fprintf(w, `{"ok":true,"result":[%s]}`, strings.Join(result, ","))
}

// Stripe's list is newest first, and ending_before asks for the page just after a position. Events
// are kept for 30 days (https://docs.stripe.com/api/events/list and
// https://docs.stripe.com/api/pagination, read in November 2026).
func ExamplePoll_stripe() {
	srv := httptest.NewServer(http.HandlerFunc(stripe))
	defer srv.Close()

	feed := &transport.Poll{
		URL:         srv.URL + "/v1/events?limit=2", // https://api.stripe.com, and limit=100
		Prepare:     func(r *http.Request) error { r.SetBasicAuth("sk_test_1", ""); return nil },
		Resume:      transport.ResumeQuery("ending_before"),
		Events:      "data",
		ID:          "id",
		More:        "has_more",
		NewestFirst: true,
	}
	sub, err := client.Subscribe(context.Background(), feed, &client.Options{
		StartAfter: "evt_1", // or a Store
		Retry:      retry.Policy{Classify: unlisted},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ev.ID, decode.Field(ev.Data, "type"))
		if ev.ID == "evt_5" {
			break
		}
	}
	// Output:
	// evt_2 invoice.paid
	// evt_3 invoice.paid
	// evt_4 invoice.paid
	// evt_5 invoice.paid
}

// unlisted recognizes the answer to a position that is older than Stripe's list. The subscription
// continues without it, after a Gap.
func unlisted(err error, _ int) (retry.Class, bool) {
	var e *transport.StatusError
	unknown := errors.As(err, &e) && e.Resuming && e.Code == http.StatusBadRequest &&
		decode.Field(e.Body, "error.code") == "resource_missing"
	return retry.ClassTokenRejected, unknown
}

// stripe lists the events evt_5 to evt_1.
func stripe(w http.ResponseWriter, r *http.Request) {
	var after int
	fmt.Sscanf(r.URL.Query().Get("ending_before"), "evt_%d", &after)
	last := min(after+2, 5)
	var data []string
	for id := last; id > after; id-- {
		data = append(data, fmt.Sprintf(`{"id":"evt_%d","type":"invoice.paid"}`, id))
	}
	fmt.Fprintf(w, `{"object":"list","data":[%s],"has_more":%t}`, strings.Join(data, ","), last < 5)
}

// Since reads what has happened while the receiver of a webhook was down.
func ExamplePoll_Since() {
	srv := httptest.NewServer(http.HandlerFunc(stripe))
	defer srv.Close()

	list := &transport.Poll{
		URL:         srv.URL + "/v1/events?limit=2",
		Resume:      transport.ResumeQuery("ending_before"),
		Events:      "data",
		ID:          "id",
		More:        "has_more",
		NewestFirst: true,
	}
	for m, err := range list.Since(context.Background(), "evt_2") {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(m.ID)
	}
	// Output:
	// evt_3
	// evt_4
	// evt_5
}

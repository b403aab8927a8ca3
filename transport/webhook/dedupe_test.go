package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// noID is a sender whose deliveries have no id.
func noID() *provider.Provider {
	p := provider.GitHub("a secret")
	p.ID = provider.Source{}
	return p
}

// deliver posts a delivery that must reach the consumer, who acknowledges it.
func deliver(t testing.TB, w *webhook.Receiver, conn *inbox, id, body string) {
	t.Helper()
	a := post(w, sign(t, w.Provider, id, body))
	take(t, conn, body).Settle(nil)
	wantStatus(t, a, 204)
}

// repeat posts a delivery that must not reach the consumer.
func repeat(t testing.TB, w *webhook.Receiver, id, body string) {
	t.Helper()
	wantStatus(t, post(w, sign(t, w.Provider, id, body)), 204)
}

func TestIdentity(t *testing.T) {
	tests := map[string]func(t *testing.T){
		"a signed id is enough": func(t *testing.T) {
			w := newHook()
			conn := openHook(t, w)
			deliver(t, w, conn, "msg_1", `{"pending":2}`)
			repeat(t, w, "msg_1", `{"pending":1}`)
		},
		"an id that is not signed goes with its body": func(t *testing.T) {
			w := &webhook.Receiver{Provider: provider.GitHub("a secret")}
			conn := openHook(t, w)
			deliver(t, w, conn, "1", `{"n":1}`)
			repeat(t, w, "1", `{"n":1}`)
			deliver(t, w, conn, "1", `{"n":2}`)
			deliver(t, w, conn, "2", `{"n":1}`)
		},
		"without any id a body that comes again may be news": func(t *testing.T) {
			w := &webhook.Receiver{Provider: noID()}
			conn := openHook(t, w)
			deliver(t, w, conn, "", `{"n":1}`)
			deliver(t, w, conn, "", `{"n":1}`)
			deliver(t, w, conn, "", `{"n":2}`)
		},
		"without an id of the delivery, those of its events count": func(t *testing.T) {
			p := noID()
			p.Payload = provider.Payload{ID: provider.Source{Path: []string{"n"}}}
			w := &webhook.Receiver{Provider: p}
			conn := openHook(t, w)
			deliver(t, w, conn, "", `{"n":1}`)
			repeat(t, w, "", `{"n":1}`)
			deliver(t, w, conn, "", `{"n":2}`)
		},
		"ids of events in the header tell apart bodies that are the same": func(t *testing.T) {
			w := &webhook.Receiver{Provider: provider.CloudEvents(nil, "a secret")}
			conn := openHook(t, w)
			send := func(id string) <-chan *http.Response {
				r := sign(t, w.Provider, "", `{"up":true}`)
				r.Header.Set("Ce-Source", "/sensor")
				r.Header.Set("Ce-Id", id)
				return post(w, r)
			}
			for _, id := range []string{"1", "2"} {
				a := send(id)
				take(t, conn, `{"up":true}`).Settle(nil)
				wantStatus(t, a, 204)
			}
			wantStatus(t, send("1"), 204)
		},
		"memory ends after DedupeFor": func(t *testing.T) {
			w := newHook()
			w.DedupeFor = time.Hour
			conn := openHook(t, w)
			deliver(t, w, conn, "msg_1", `{}`)
			time.Sleep(time.Hour - 1)
			repeat(t, w, "msg_1", `{}`)
			time.Sleep(time.Nanosecond)
			deliver(t, w, conn, "msg_1", `{}`)
		},
		"memory is Dedupe deliveries, the newest": func(t *testing.T) {
			w := newHook()
			w.Dedupe = 10
			conn := openHook(t, w)
			for i := range 100 {
				deliver(t, w, conn, fmt.Sprint("msg_", i), `{}`)
			}
			for i := 90; i < 100; i++ {
				repeat(t, w, fmt.Sprint("msg_", i), `{}`)
			}
			deliver(t, w, conn, "msg_89", `{}`)
		},
		"what is acknowledged twice is remembered from the second time on": func(t *testing.T) {
			w := newHook()
			w.Dedupe = 2
			conn := openHook(t, w)
			a := post(w, sign(t, w.Provider, "msg_1", `{}`))
			m := take(t, conn, `{}`)
			conn.Close()
			wantStatus(t, a, 503)
			conn = openHook(t, w)
			deliver(t, w, conn, "msg_1", `{}`)
			time.Sleep(time.Second)
			m.Settle(nil)
			deliver(t, w, conn, "msg_2", `{}`)
			repeat(t, w, "msg_1", `{}`)
		},
		"no memory": func(t *testing.T) {
			w := newHook()
			w.Dedupe = -1
			conn := openHook(t, w)
			deliver(t, w, conn, "msg_1", `{}`)
			first, second := post(w, sign(t, w.Provider, "msg_1", `{}`)), post(w, sign(t, w.Provider, "msg_1", `{}`))
			take(t, conn, `{}`).Settle(nil)
			take(t, conn, `{}`).Settle(nil)
			wantStatus(t, first, 204)
			wantStatus(t, second, 204)
		},
		"memory outlives a Conn": func(t *testing.T) {
			w := newHook()
			conn := openHook(t, w)
			deliver(t, w, conn, "msg_1", `{}`)
			conn.Close()
			openHook(t, w)
			repeat(t, w, "msg_1", `{}`)
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

func TestDuplicatesAllAtOnce(t *testing.T) {
	for name, err := range map[string]error{"acknowledged": nil, "refused": errors.New("no")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHook()
				conn := openHook(t, w)
				var answers []<-chan *http.Response
				for range 100 {
					answers = append(answers, post(w, sign(t, w.Provider, "msg_1", `{}`)))
				}
				m := take(t, conn, `{}`)
				synctest.Wait()
				m.Settle(err)
				status := map[bool]int{true: 204, false: 503}[err == nil]
				for _, a := range answers {
					wantStatus(t, a, status)
				}
				deliver(t, w, conn, "msg_2", `{}`) // and not the same one again
			})
		})
	}
}

func TestSenderGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		ctx, cancel := context.WithCancel(t.Context())
		gone := post(w, sign(t, w.Provider, "msg_1", `{}`).WithContext(ctx))
		m := take(t, conn, `{}`)
		synctest.Wait()
		start := time.Now()
		cancel()
		if a := <-gone; a.StatusCode < 300 || time.Since(start) > time.Second {
			t.Errorf("answered %s after %v", a.Status, time.Since(start))
		}
		again := post(w, sign(t, w.Provider, "msg_1", `{}`))
		unanswered(t, again)
		m.Settle(nil)
		wantStatus(t, again, 204)
	})
}

// What is settled after its sender has gone is not mistaken for what another waits for.
func TestAnswersTheRightOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		for i := range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			gone := post(w, sign(t, w.Provider, fmt.Sprint("gone_", i), `{}`).WithContext(ctx))
			m := take(t, conn, `{}`)
			cancel()
			<-gone
			next := post(w, sign(t, w.Provider, fmt.Sprint("next_", i), `{}`))
			n := take(t, conn, `{}`)
			m.Settle(nil)
			unanswered(t, next)
			n.Settle(errors.New("no"))
			wantStatus(t, next, 503)
		}
	})
}

// batches is a sender of several events at a time.
func batches() *provider.Provider {
	p := provider.StandardWebhooks(secret)
	p.Payload = provider.Payload{Items: "@this", ID: provider.Source{Path: []string{"id"}}}
	return p
}

const (
	batch = `[{"id":"a"}, {"n":2}, {"id":"c"}]`
	itemA = `{"id":"a"}`
	item2 = `{"n":2}`
	itemC = `{"id":"c"}`
)

func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openHook(t, w)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		var ms []transport.Message
		for _, data := range []string{itemA, item2, itemC} {
			ms = append(ms, take(t, conn, data))
		}
		if ids := []string{ms[0].ID, ms[1].ID, ms[2].ID}; !slices.Equal(ids, []string{"a", "msg_1.1", "c"}) {
			t.Errorf("ids are %q", ids)
		}
		_ = append(ms[0].Data, "overwritten"...)
		if string(ms[1].Data) != item2 {
			t.Errorf("an append to the first event changed the second: %q", ms[1].Data)
		}
		if ms[0].Delivery == nil || ms[0].Delivery != ms[2].Delivery {
			t.Error("the events of a batch do not share its Delivery")
		}
		ms[2].Settle(nil)
		ms[0].Settle(nil)
		ms[0].Settle(nil)
		unanswered(t, a)
		ms[1].Settle(nil)
		wantStatus(t, a, 204)
		repeat(t, w, "msg_1", batch)
	})
}

func TestBatchGoesOnWhereItFailed(t *testing.T) {
	fail := map[string]func(conn *inbox, m transport.Message){
		"refused":       func(_ *inbox, m transport.Message) { m.Settle(errors.New("no")) },
		"closed":        func(conn *inbox, _ transport.Message) { conn.Close() },
		"never settled": func(*inbox, transport.Message) { time.Sleep(time.Hour) },
	}
	for name, fail := range fail {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: batches()}
				conn := openHook(t, w)
				a := post(w, sign(t, w.Provider, "msg_1", batch))
				take(t, conn, itemA).Settle(nil)
				m2 := take(t, conn, item2)
				take(t, conn, itemC).Settle(nil)
				fail(conn, m2)
				wantStatus(t, a, 503)

				conn.Close()
				conn = openHook(t, w)
				a = post(w, sign(t, w.Provider, "msg_1", batch))
				m := take(t, conn, item2)
				if m.ID != "msg_1.1" {
					t.Errorf("ID %q, want msg_1.1", m.ID)
				}
				m.Settle(nil)
				wantStatus(t, a, 204)
				repeat(t, w, "msg_1", batch)
			})
		})
	}
}

// Only what is the same in every respect is passed over.
func TestBatchPassesOverNothingElse(t *testing.T) {
	tests := map[string]struct {
		first, again string   // the first event of first is acknowledged, the second refused
		want         []string // of again
	}{
		"the same": {
			`[{"id":"a"}, {"n":2}]`, `[{"id":"a"}, {"n":2}]`, []string{`{"n":2}`},
		},
		"ids that repeat": {
			`[{"id":"a"}, {"id":"a"}]`, `[{"id":"a"}, {"id":"a"}]`, []string{`{"id":"a"}`},
		},
		"data that is another": {
			`[{"n":1}, {"n":2}]`, `[{"n":0}, {"n":2}]`, []string{`{"n":0}`, `{"n":2}`},
		},
		"another order": {
			`[{"id":"a"}, {"id":"b"}]`, `[{"id":"b"}, {"id":"a"}]`, []string{`{"id":"b"}`, `{"id":"a"}`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: batches()}
				conn := openHook(t, w)
				a := post(w, sign(t, w.Provider, "msg_1", test.first))
				read(t, conn).Settle(nil)
				read(t, conn).Settle(errors.New("no"))
				wantStatus(t, a, 503)

				a = post(w, sign(t, w.Provider, "msg_1", test.again))
				for _, want := range test.want {
					take(t, conn, want).Settle(nil)
				}
				wantStatus(t, a, 204)
			})
		})
	}
}

func TestBatchClosedHalfAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		m := take(t, conn, itemA)
		synctest.Wait()
		start := time.Now()
		conn.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close waited %v for a batch that can no longer be settled", d)
		}
		wantStatus(t, a, 503)
		m.Settle(nil) // after the answer

		conn = openHook(t, w)
		a = post(w, sign(t, w.Provider, "msg_1", batch))
		take(t, conn, item2).Settle(nil)
		take(t, conn, itemC).Settle(nil)
		wantStatus(t, a, 204)
	})
}

func TestBatchOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		openHook(t, w)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `[]`)), 204)
	})
}

func TestProvidersByPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Providers: map[string]*provider.Provider{
			"/a": provider.StandardWebhooks(secret),
			"/b": provider.GitHub("another secret"),
		}}
		conn := openHook(t, w)
		to := func(path, signer string) *http.Request {
			r := sign(t, w.Providers[signer], "msg_1", `{}`)
			r.URL.Path = path
			return r
		}
		for _, path := range []string{"/a", "/b"} { // the same id is another one
			a := post(w, to(path, path))
			m := take(t, conn, `{}`)
			if name := m.Delivery.Provider; name != w.Providers[path].Name {
				t.Errorf("%s: the provider is %q", path, name)
			}
			m.Settle(nil)
			wantStatus(t, a, 204)
		}
		wantStatus(t, post(w, to("/a", "/b")), 400) // the headers of another
		wantStatus(t, post(w, to("/c", "/a")), 404)
		wantStatus(t, post(w, to("/a/", "/a")), 404)
	})
}

func TestURLIsConfiguration(t *testing.T) {
	p := provider.GitHub("a secret")
	var seen []string
	p.Respond = func(r *provider.Request, d *provider.Delivery) *provider.Answer {
		seen = append(seen, r.URL)
		d.Events = nil
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		for _, w := range []*webhook.Receiver{
			{Provider: p},
			{Provider: p, URL: "https://public.example/in"},
			{Providers: map[string]*provider.Provider{"/hooks/p": p}, URL: "https://public.example"},
			{Providers: map[string]*provider.Provider{"/hooks/p": p}, URL: "https://public.example/"},
			{Providers: map[string]*provider.Provider{"/hooks/p é": p}, URL: "https://public.example"},
		} {
			openHook(t, w)
			r := sign(t, p, "1", `{}`)
			r.URL.Path = "/hooks/p"
			for path := range w.Providers {
				r.URL.Path = path
			}
			r.URL.RawQuery, r.Host, r.RequestURI = "x=1", "attacker.example", "/hooks/p?x=1"
			wantStatus(t, post(w, r), 204)
		}
	})
	want := []string{"/hooks/p?x=1", "https://public.example/in?x=1", "https://public.example/hooks/p?x=1", "https://public.example/hooks/p?x=1",
		"https://public.example/hooks/p%20%C3%A9?x=1"}
	if !slices.Equal(seen, want) {
		t.Errorf("the URLs are\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}

// A DedupeFor without end is none that has ended.
func TestDedupesForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.DedupeFor = math.MaxInt64
		conn := openHook(t, w)
		time.Sleep(time.Hour)
		deliver(t, w, conn, "msg_1", `{}`)
		time.Sleep(24 * time.Hour)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 204)
	})
}

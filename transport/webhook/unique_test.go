package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// overlapping is a sender whose batches overlap. Its deliveries have no id.
func overlapping() *provider.Provider {
	p := provider.GitHub("a secret")
	p.ID = provider.Source{}
	p.Payload = provider.Payload{Items: "@this", ID: provider.Source{Path: []string{"id"}}, Unique: true}
	return p
}

func events(ids ...string) string {
	var list []string
	for _, id := range ids {
		list = append(list, `{"id":"`+id+`"}`)
	}
	return "[" + strings.Join(list, ",") + "]"
}

// settleAll acknowledges n events and returns their ids.
func settleAll(t *testing.T, conn *inbox, n int) string {
	t.Helper()
	var ids []string
	for range n {
		m := read(t, conn)
		ids = append(ids, m.ID)
		m.Settle(nil)
	}
	return strings.Join(ids, " ")
}

func TestEventsAcrossDeliveries(t *testing.T) {
	run := func(name string, f func(t *testing.T, w *webhook.Receiver, conn *inbox, send func(body string) <-chan *http.Response)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: overlapping()}
				f(t, w, openHook(t, w), func(body string) <-chan *http.Response { return post(w, sign(t, w.Provider, "", body)) })
			})
		})
	}
	type sender = func(body string) <-chan *http.Response
	run("batches overlap", func(t *testing.T, w *webhook.Receiver, conn *inbox, send sender) {
		a := send(events("1", "2", "3"))
		settleAll(t, conn, 3)
		wantStatus(t, a, 204)
		a = send(events("2", "3", "4"))
		if got := settleAll(t, conn, 1); got != "4" {
			t.Errorf("got %s, want 4", got)
		}
		wantStatus(t, a, 204)
		wantStatus(t, send(events("4", "1")), 204)
	})
	run("an event comes again alone, with other data", func(t *testing.T, w *webhook.Receiver, conn *inbox, send sender) {
		a := send(events("1", "2"))
		settleAll(t, conn, 2)
		wantStatus(t, a, 204)
		wantStatus(t, send(`[{"id":"1","redelivery":true}]`), 204)
		wantStatus(t, send(`{"id":"2"}`), 204)
		a = send(`[{"id":"3"}]`)
		settleAll(t, conn, 1)
		wantStatus(t, a, 204)
		wantStatus(t, send(events("3", "1")), 204)
	})
	run("twice in one batch", func(t *testing.T, w *webhook.Receiver, conn *inbox, send sender) {
		a := send(events("1", "2", "1", "1"))
		if got := settleAll(t, conn, 2); got != "1 2" {
			t.Errorf("got %s, want 1 2", got)
		}
		wantStatus(t, a, 204)
	})
	run("an event that is being handled", func(t *testing.T, w *webhook.Receiver, conn *inbox, send sender) {
		first := send(events("1", "2"))
		one, two := read(t, conn), read(t, conn)
		second := send(events("2", "3"))
		third := send(events("2"))
		unanswered(t, second)
		unanswered(t, third)
		one.Settle(nil)
		unanswered(t, second)
		two.Settle(nil)
		wantStatus(t, first, 204)
		wantStatus(t, third, 204)
		if got := settleAll(t, conn, 1); got != "3" {
			t.Errorf("got %s, want 3", got)
		}
		wantStatus(t, second, 204)
	})
	run("an event that is refused there", func(t *testing.T, w *webhook.Receiver, conn *inbox, send sender) {
		first := send(events("1", "2"))
		one, two := read(t, conn), read(t, conn)
		second := send(events("2", "1", "3"))
		unanswered(t, second)
		one.Settle(nil)
		two.Settle(errors.New("not now"))
		wantStatus(t, first, 503)
		if got := settleAll(t, conn, 2); got != "2 3" {
			t.Errorf("got %s, want 2 3", got)
		}
		wantStatus(t, second, 204)
		wantStatus(t, send(events("1", "2")), 204)
	})
	run("until the deadline, and the event stays with the consumer", func(t *testing.T, w *webhook.Receiver, conn *inbox, send sender) {
		first := send(events("1", "2"))
		one, two := read(t, conn), read(t, conn)
		time.Sleep(5 * time.Second)
		second := send(events("2", "3"))
		wantStatus(t, first, 503)
		wantStatus(t, second, 503)
		if len(conn.queue) != 0 {
			t.Error("an event was delivered twice")
		}
		one.Settle(nil)
		two.Settle(nil)
		third := send(events("2", "3"))
		settleAll(t, conn, 1)
		wantStatus(t, third, 204)
	})
	run("without an id it is compared with nothing", func(t *testing.T, w *webhook.Receiver, conn *inbox, send sender) {
		for range 2 {
			a := send(`[{"n":1}]`)
			settleAll(t, conn, 1)
			wantStatus(t, a, 204)
		}
		a := send(`[{"id":"1"},{"n":1}]`)
		settleAll(t, conn, 2)
		wantStatus(t, a, 204)
		a = send(`[{"id":"1"},{"n":1}]`)
		if got := settleAll(t, conn, 1); got != "" {
			t.Errorf("got %q, want the event without an id", got)
		}
		wantStatus(t, a, 204)
	})
	run("many deliveries at once", func(t *testing.T, w *webhook.Receiver, conn *inbox, send sender) {
		seen := map[string]int{}
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case m := <-conn.queue:
					seen[m.ID]++
					m.Settle(nil)
				case <-stop:
					return
				}
			}
		}()
		var all []<-chan *http.Response
		for i := range 40 {
			all = append(all, send(events(fmt.Sprint(i), fmt.Sprint(i+1), fmt.Sprint(i+2))))
		}
		for _, a := range all {
			wantStatus(t, a, 204)
		}
		close(stop)
		synctest.Wait()
		for id, n := range seen {
			if n != 1 {
				t.Errorf("event %s was delivered %d times", id, n)
			}
		}
		if len(seen) != 42 {
			t.Errorf("got %d events, want 42", len(seen))
		}
	})
	run("a reconnect while a delivery waits", func(t *testing.T, w *webhook.Receiver, conn *inbox, send sender) {
		first := send(events("1", "2"))
		read(t, conn)
		second := send(events("2", "3"))
		unanswered(t, second)
		conn.Close()
		wantStatus(t, first, 503)
		wantStatus(t, second, 503)
		again := openHook(t, w)
		a := send(events("1", "2", "3"))
		if got := settleAll(t, again, 3); got != "1 2 3" {
			t.Errorf("got %s", got)
		}
		wantStatus(t, a, 204)
	})
}

// The ids of events in an unsigned header do not make a signed body look acknowledged.
func TestUnsignedEventIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider.CloudEvents(nil)
		p.Scheme = provider.Signature{Header: "X-Signature"}
		p.SetSecrets("a secret")
		w := &webhook.Receiver{Provider: p}
		conn := openHook(t, w)
		send := func(id, body string) <-chan *http.Response {
			r := sign(t, p, "", body)
			r.Header.Set("Ce-Id", id)
			r.Header.Set("Ce-Source", "/")
			return post(w, r)
		}
		captured := send("1", `{"n":1}`)
		settleAll(t, conn, 1)
		wantStatus(t, captured, 204)
		poisoned := send("2", `{"n":1}`) // a captured body under the id of the next event
		settleAll(t, conn, 1)
		wantStatus(t, poisoned, 204)
		genuine := send("2", `{"n":2}`)
		take(t, conn, `{"n":2}`).Settle(nil)
		wantStatus(t, genuine, 204)
	})
}

// tenantHook has the tenants "a" and "b" in its path, whose secrets are "the secret of a" and so on.
func tenantHook(base *provider.Provider) *webhook.Receiver {
	base.Tenants = provider.Tenants{
		Name: provider.Source{Wildcard: "tenant"},
		Secrets: func(_ context.Context, tenant string) ([]string, error) {
			switch tenant {
			case "a", "b":
				return []string{"the secret of " + tenant}, nil
			case "broken":
				return nil, errors.New("no database")
			}
			return nil, nil
		},
	}
	return &webhook.Receiver{Providers: map[string]*provider.Provider{"/hooks/{tenant}": base}}
}

// forTenant returns a delivery of GitHub to a tenant.
func forTenant(t *testing.T, tenant, secret, id, body string) *http.Request {
	t.Helper()
	d := provider.Request{Method: "POST", URL: "/", Header: http.Header{}, Body: []byte(body), Time: time.Now()}
	if err := provider.GitHub(secret).Sign(&d, id); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/hooks/"+tenant, bytes.NewReader(d.Body))
	maps.Copy(r.Header, d.Header)
	return r
}

func TestTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := tenantHook(provider.GitHub())
		var rejected []*webhook.RejectedError
		w.OnRejected = func(e *webhook.RejectedError) { rejected = append(rejected, e) }
		conn := openHook(t, w)
		for _, tenant := range []string{"a", "b"} { // the same id and body from each
			a := post(w, forTenant(t, tenant, "the secret of "+tenant, "1", `{}`))
			m := read(t, conn)
			m.Settle(nil)
			wantStatus(t, a, 204)
			if m.Delivery.Tenant != tenant {
				t.Errorf("got the tenant %q, want %q", m.Delivery.Tenant, tenant)
			}
			wantStatus(t, post(w, forTenant(t, tenant, "the secret of "+tenant, "1", `{}`)), 204) // a duplicate
		}
		wantStatus(t, post(w, forTenant(t, "a", "the secret of b", "2", `{}`)), 401)
		known := wantStatus(t, post(w, forTenant(t, "a", "a guess", "2", `{}`)), 401)
		unknown := wantStatus(t, post(w, forTenant(t, "c", "a guess", "2", `{}`)), 401)
		if fmt.Sprint(known.Header) != fmt.Sprint(unknown.Header) {
			t.Errorf("the answers differ: %v, %v", known.Header, unknown.Header)
		}
		wantStatus(t, post(w, forTenant(t, "broken", "a guess", "2", `{}`)), 503)
		for i, want := range []string{"a", "a", "", ""} {
			if rejected[i].Tenant != want {
				t.Errorf("rejection %d: got the tenant %q, want %q", i, rejected[i].Tenant, want)
			}
			if text := rejected[i].Error(); strings.Contains(text, "secret of") || strings.Contains(text, "guess") {
				t.Errorf("got %q, which has a secret", text)
			}
		}
	})
}

// An answer may tell a sender that its tenant is gone.
func TestUnknownTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider.GitHub()
		p.Answers.Unknown = provider.Answer{Body: []byte("no such hook")}
		w := tenantHook(p)
		openHook(t, w)
		wantStatus(t, post(w, forTenant(t, "c", "a guess", "2", `{}`)), 404)
		wantStatus(t, post(w, forTenant(t, "a", "a guess", "2", `{}`)), 401)
		p.Answers.Unknown.Status = 410
		wantStatus(t, post(w, forTenant(t, "c", "a guess", "2", `{}`)), 410)
	})
}

// A tenant that is named before the body, and cannot be looked up, costs no body.
func TestTenantFailureReadsNoBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := tenantHook(provider.GitHub())
		openHook(t, w)
		r := forTenant(t, "broken", "a guess", "2", `{}`)
		r.Body = unreadable{t}
		wantStatus(t, post(w, r), 503)
	})
}

// Event ids of one tenant do not hide those of another, and answers are not shared.
func TestTenantsShareNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := overlapping()
		q := provider.GitHub()
		q.ID, q.Payload = p.ID, p.Payload
		w := tenantHook(q)
		conn := openHook(t, w)
		for _, body := range []string{events("1", "2"), events("3")} {
			for _, tenant := range []string{"a", "b"} {
				a := post(w, forTenant(t, tenant, "the secret of "+tenant, "", body))
				settleAll(t, conn, strings.Count(body, "id"))
				wantStatus(t, a, 204)
			}
		}
		w.Answer = func(_ context.Context, c *webhook.Call) (*provider.Answer, error) {
			return &provider.Answer{Body: []byte("for " + c.Tenant)}, nil
		}
		for _, tenant := range []string{"a", "b", "a"} {
			r := wantStatus(t, post(w, forTenant(t, tenant, "the secret of "+tenant, "", events("9"))), 200)
			if got := bodyOf(r); got != "for "+tenant {
				t.Errorf("got %q for %s", got, tenant)
			}
		}
	})
}

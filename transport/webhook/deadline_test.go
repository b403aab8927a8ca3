package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A deadline is that of its own request, whatever was to be timed before.
func TestDeadlinesOneAfterTheOther(t *testing.T) {
	for name, ack := range map[string]webhook.AckMode{"handled": webhook.AckAfterHandling, "queued": webhook.AckOnEnqueue} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Ack: ack, Providers: map[string]*provider.Provider{
					"/long": provider.StandardWebhooks(secret), "/short": provider.StandardWebhooks(secret),
				}}
				deadlines := map[string]time.Duration{"/long": 5 * time.Second, "/short": 700 * time.Millisecond}
				for path, d := range deadlines {
					w.Providers[path].Deadline = d
				}
				conn := openHook(t, w)
				for i := range 40 {
					path := [...]string{"/long", "/short", "/short", "/long", "/long"}[i%5]
					r := sign(t, w.Providers[path], fmt.Sprint("msg_", i), `{}`)
					r.URL.Path = path
					start := time.Now()
					a := post(w, r)
					if ack == webhook.AckAfterHandling {
						take(t, conn, `{}`)
					}
					wantStatus(t, a, 503)
					if d := time.Since(start); d != deadlines[path] {
						t.Errorf("request %d was answered after %v, want %v", i, d, deadlines[path])
					}
					time.Sleep(time.Duration(i) * 130 * time.Millisecond)
				}
			})
		})
	}
}

// A sender that has gone is not waited for until the deadline, in either mode.
func TestQueuedSenderGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Ack = webhook.AckOnEnqueue
		conn := openHook(t, w)
		for i := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			id := fmt.Sprint("msg_", i)
			gone := post(w, sign(t, w.Provider, id, `{}`).WithContext(ctx))
			time.Sleep(time.Duration(i) * 170 * time.Millisecond)
			start := time.Now()
			cancel()
			if a := <-gone; a.StatusCode != http.StatusServiceUnavailable || time.Since(start) > 100*time.Millisecond {
				t.Errorf("answered %s after %v", a.Status, time.Since(start))
			}
			again := post(w, sign(t, w.Provider, id, `{}`))
			take(t, conn, `{}`)
			go readFrom(conn) // which says that it is kept
			wantStatus(t, again, 204)
			conn.Close()
			conn = openHook(t, w)
		}
	})
}

package webhook_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A deadline is that of its own request, whatever was to be timed before.
func TestDeadlinesOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Providers: map[string]*provider.Provider{
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
			take(t, conn, `{}`)
			wantStatus(t, a, 503)
			if d := time.Since(start); d != deadlines[path] {
				t.Errorf("request %d was answered after %v, want %v", i, d, deadlines[path])
			}
			time.Sleep(time.Duration(i) * 130 * time.Millisecond)
		}
	})
}

package webhook_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport"
)

// The fields of many headers share an allocation. Each is its receiver's own all the same,
// whatever the receiver does to it, also if it has more fields than are allocated at once.
func TestHeadersAreOwned(t *testing.T) {
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

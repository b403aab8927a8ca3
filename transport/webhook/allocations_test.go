//go:build !race

package webhook_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestAllocations holds that a delivery of one event costs that of the provider.Delivery and the two of its header, and
// where it is settled, its Settle and the channel of the request's context.
func TestAllocations(t *testing.T) {
	for ack, most := range map[webhook.AckMode]float64{webhook.AckOnEnqueue: 3, webhook.AckAfterHandling: 5} {
		w := &webhook.Receiver{Provider: provider.GitHub("a secret of GitHub's"), Ack: ack}
		conn := openHook(t, w)
		go func() {
			for m, err := readFrom(conn); err == nil; m, err = readFrom(conn) {
				if m.Settle != nil {
					m.Settle(nil)
				}
			}
		}()
		const runs = 500
		requests := make([]*http.Request, 0, runs+1)
		for i := range runs + 1 {
			r := sign(t, w.Provider, strconv.Itoa(i), `{"zen":"`+strings.Repeat("x", 1014)+`"}`)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			requests = append(requests, r.WithContext(ctx))
		}
		out := &nowhere{header: http.Header{}}
		got := testing.AllocsPerRun(runs, func() {
			r := requests[0]
			requests = requests[1:]
			w.ServeHTTP(out, r)
		})
		if got > most {
			t.Errorf("mode %d: %v allocations", ack, got)
		}
	}
}

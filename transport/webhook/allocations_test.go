//go:build !race

package webhook_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestAllocations limits the allocations of a delivery of one event: the exchange, its timer and
// the timer's function, the provider.Delivery, the delivery, the transport.Delivery, its Header,
// and the Header's values. An event that is settled adds its Settle.
func TestAllocations(t *testing.T) {
	for ack, most := range map[webhook.AckMode]float64{webhook.AckOnEnqueue: 9, webhook.AckAfterHandling: 10} {
		w := &webhook.Receiver{Provider: provider.GitHub("a secret of GitHub's"), Ack: ack}
		listener, err := w.Listen(t.Context(), func(ms []transport.Message) (int, error) {
			for i := range ms {
				if ms[i].Settle != nil {
					ms[i].Settle(nil)
				}
			}
			return len(ms), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		const runs = 500
		requests := make([]*http.Request, 0, runs+1)
		for i := range runs + 1 {
			r := sign(t, w.Provider, strconv.Itoa(i), `{"zen":"`+strings.Repeat("x", 1014)+`"}`)
			requests = append(requests, r.WithContext(t.Context()))
		}
		out := &nowhere{header: http.Header{}}
		got := testing.AllocsPerRun(runs, func() {
			r := requests[0]
			requests = requests[1:]
			w.ServeHTTP(out, r)
		})
		if got > most {
			t.Errorf("mode %d: %v allocations, want %v at most", ack, got, most)
		}
	}
}

package webhook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/mock/record"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/transporttest"
	"github.com/steadfeed/steadfeed/transport/webhook"
)

// A passThrough is a Receiver that adds nothing to another one.
type passThrough struct{ from transport.Receiver }

func (p passThrough) Validate() error { return p.from.Validate() }

func (p passThrough) Listen(ctx context.Context, deliver transport.Deliver) (transport.Listener, error) {
	return p.from.Listen(ctx, func(ms []transport.Message) (int, error) { return deliver(ms) })
}

// A Receiver keeps the contract, alone and wrapped in another one.
func TestConformance(t *testing.T) {
	for name, wrap := range map[string]func(transport.Receiver) transport.Receiver{
		"alone":    func(r transport.Receiver) transport.Receiver { return r },
		"wrapped":  func(r transport.Receiver) transport.Receiver { return passThrough{r} },
		"recorded": func(r transport.Receiver) transport.Receiver { return record.Receiver(r, io.Discard, nil) },
	} {
		for _, ack := range []webhook.AckMode{webhook.AckAfterHandling, webhook.AckOnEnqueue} {
			t.Run(fmt.Sprint(name, ", ", ack), func(t *testing.T) {
				transporttest.RunReceiverInBubble(t, func(t testing.TB) transporttest.Push {
					w := &webhook.Receiver{Provider: batches(), Ack: ack}
					return transporttest.Push{Receiver: wrap(w), Complete: w.Drain, Send: sendBatch(t, w)}
				})
			})
		}
	}
}

// sendBatch returns a function that sends events as one delivery.
func sendBatch(t testing.TB, w *webhook.Receiver) func(context.Context, ...transporttest.Event) bool {
	return func(ctx context.Context, events ...transporttest.Event) bool {
		var data, ids []string
		for _, e := range events {
			data, ids = append(data, e.Data), append(ids, e.Token)
		}
		r := sign(t, w.Provider, strings.Join(ids, "-"), "["+strings.Join(data, ",")+"]")
		return (<-post(w, r.WithContext(ctx))).StatusCode == http.StatusNoContent
	}
}

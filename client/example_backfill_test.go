package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A feed of changes to an order book has no positions: a snapshot replaces what is missing. It is
// fetched while the connection is open. The changes that it contains are dropped, by their number.
func ExampleOptions_snapshotAndDeltas() {
	feed := mock.NewFeed(mock.Event("", "change 101"), mock.Event("", "change 102"), mock.Event("", "change 103"),
		mock.Event("", "change 107"), mock.Event("", "change 108"), mock.Event("", "change 109"), mock.Complete())
	snapshots := []string{"snapshot 102", "snapshot 108"} // of a server

	sub, err := client.Subscribe(context.Background(), feed, &client.Options{
		SequenceOf: func(ev client.Event) (key string, n uint64, ok bool) {
			_, number, _ := strings.Cut(string(ev.Data), " ")
			n, err := strconv.ParseUint(number, 10, 64)
			return "BTC-USD", n, err == nil
		},
		Backfill: func(ctx context.Context, gap client.Gap, deliver func(transport.Message) error) (string, error) {
			if gap.Reason == transport.GapStart {
				return "", nil // it is called again when the connection is open
			}
			snapshot := snapshots[0]
			snapshots = snapshots[1:]
			return "", deliver(transport.Message{Data: []byte(snapshot)})
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, gap: %t\n", ev.Data, ev.Gap != nil)
	}
	// Output:
	// snapshot 102, gap: false
	// change 103, gap: false
	// snapshot 108, gap: false
	// change 109, gap: false
}

// After a downtime, the provider's list of events has what was sent meanwhile. A delivery of an
// event that is in the list is answered once that event is handled, and not handled again.
func ExampleOptions_webhooksAfterDowntime() {
	stripe := provider.Stripe("whsec_of_the_endpoint")
	hook := &webhook.Receiver{Provider: stripe}
	srv := httptest.NewServer(hook)
	defer srv.Close()
	list := []string{"evt_1", "evt_2"} // GET /v1/events?ending_before=... of the provider

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	sub, err := client.Subscribe(ctx, hook, &client.Options{
		Dedupe: 1000,
		Backfill: func(ctx context.Context, gap client.Gap, deliver func(transport.Message) error) (string, error) {
			for _, id := range list {
				if err := deliver(transport.Message{ID: id, Data: fmt.Appendf(nil, `{"id":%q}`, id)}); err != nil {
					return "", err
				}
			}
			return "", nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	if err := sub.WaitConnected(ctx); err != nil {
		log.Fatal(err)
	}

	handled := make(chan string, 10)
	go sub.Process(ctx, func(_ context.Context, ev client.Event) error {
		handled <- ev.ID
		return nil
	}, &client.ProcessOptions{Workers: 1})
	fmt.Println("handled", <-handled)
	fmt.Println("handled", <-handled)

	c := &sender.Client{Provider: stripe, URL: srv.URL}
	for _, id := range []string{"evt_2", "evt_3"} {
		sent, err := c.Post(ctx, sender.Delivery{Body: fmt.Appendf(nil, `{"id":%q}`, id)})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("sent", id, "answered", sent.Status)
	}
	fmt.Println("handled", <-handled)
	// Output:
	// handled evt_1
	// handled evt_2
	// sent evt_2 answered 204
	// sent evt_3 answered 204
	// handled evt_3
}

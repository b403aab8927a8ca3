package sender_test

import (
	"context"
	"fmt"
	"log"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A receiver is tested with what its sender would post, over a network in memory. Your
// code gives the Webhook to client.Subscribe instead of opening it.
func ExampleClient() {
	ctx := context.Background()
	stripe := provider.Stripe("whsec_of_the_endpoint")
	hook := &transport.Webhook{Provider: stripe}
	srv := mock.NewServer(hook)
	defer srv.Close()
	conn, err := hook.Open(ctx, "")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	go func() {
		for m, err := readFrom(conn); err == nil; m, err = readFrom(conn) {
			fmt.Println("received", m.Type, m.ID)
			m.Settle(nil)
		}
	}()

	s := sender.New(stripe, srv.URL+"/hooks/stripe", srv.Client())
	for _, d := range []sender.Delivery{
		{Body: []byte(`{"id":"evt_1","type":"charge.succeeded"}`), Forged: true},
		{Body: []byte(`{"id":"evt_1","type":"charge.succeeded"}`)},
		{Body: []byte(`{"id":"evt_1","type":"charge.succeeded"}`)}, // again
	} {
		sent, err := s.Post(ctx, d)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("answered", sent.Status)
	}
	// Output:
	// answered 401
	// received charge.succeeded evt_1
	// answered 204
	// answered 204
}

package sender_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A receiver gets what its sender would post, over an in-memory network: a forged delivery, a
// genuine one, and its repetition. Your code gives the Receiver to client.Subscribe
// instead of calling Listen.
func ExampleClient() {
	ctx := context.Background()
	stripe := provider.Stripe("whsec_of_the_endpoint")
	hook := &webhook.Receiver{Provider: stripe}
	srv := mock.NewServer(hook)
	defer srv.Close()
	listener, err := hook.Listen(ctx, func(ms []transport.Message) (accepted int, err error) {
		for _, m := range ms {
			fmt.Println("received", m.Type, m.ID)
			m.Settle(nil)
		}
		return len(ms), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()

	url := srv.URL + "/hooks/stripe"
	genuine := &sender.Client{Provider: stripe, URL: url, Client: srv.Client()}
	forger := &sender.Client{Provider: provider.Stripe("whsec_a_guess"), URL: url, Client: srv.Client()}
	d := sender.Delivery{Body: []byte(`{"id":"evt_1","type":"charge.succeeded"}`)}
	for _, from := range []*sender.Client{forger, genuine, genuine} {
		sent, err := from.Post(ctx, d)
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

// A balancer with two receivers. The first refuses a delivery, and the second accepts its repetition.
func ExampleBalancer() {
	ctx := context.Background()
	stripe := provider.Stripe("whsec_of_the_endpoint")
	var balancer sender.Balancer
	for replica := range 2 {
		hook := &webhook.Receiver{Provider: stripe}
		listener, err := hook.Listen(ctx, func(ms []transport.Message) (accepted int, err error) {
			for _, m := range ms {
				fmt.Println("replica", replica, "received", m.ID)
				if replica == 0 {
					m.Settle(errors.New("the database is down"))
				} else {
					m.Settle(nil)
				}
			}
			return len(ms), nil
		})
		if err != nil {
			log.Fatal(err)
		}
		defer listener.Close()
		balancer.Replicas = append(balancer.Replicas, hook)
	}
	srv := mock.NewServer(&balancer)
	defer srv.Close()

	client := &sender.Client{Provider: stripe, URL: srv.URL, Client: srv.Client()}
	for range 2 { // Send would wait as Stripe does
		sent, err := client.Post(ctx, sender.Delivery{Body: []byte(`{"id":"evt_1"}`)})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("answered", sent.Status)
	}
	// Output:
	// replica 0 received evt_1
	// answered 503
	// replica 1 received evt_1
	// answered 204
}

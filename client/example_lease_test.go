package client_test

import (
	"context"
	"fmt"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// Two replicas with one name: one handles events, and the other is ready to take over. In a test, both
// can run in one process and share a mock.Store.
func ExampleOptions_lease() {
	ctx := context.Background()
	feed := mock.NewFeed(mock.Event("1", "a"), mock.Event("2", "b"), mock.Pause(time.Hour))
	options := &client.Options{Name: "orders", Store: new(mock.Store), Lease: 15 * time.Second}
	var replicas [2]*client.Subscription
	for i := range replicas {
		sub, err := client.Subscribe(ctx, feed, options)
		if err != nil {
			panic(err)
		}
		defer sub.Close()
		replicas[i] = sub
	}
	fmt.Println("replica 2:", replicas[1].Stats().State)
	for i, sub := range replicas {
		ev, err := sub.Next(ctx)
		if err != nil {
			panic(err)
		}
		fmt.Printf("replica %d, epoch %d: %s\n", i+1, ev.Epoch(), ev.Data)
		ev.Ack()
		sub.Close() // the other one takes over
	}
	// Output:
	// replica 2: standby
	// replica 1, epoch 1: a
	// replica 2, epoch 2: b
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// A worker that is asked to stop takes in nothing more, finishes what it has received within 20 s, and
// saves its position. The next worker continues after it.
func ExampleSubscription_Drain() {
	feed := mock.NewFeed(mock.Event("1", "job 1"), mock.Event("2", "job 2"), mock.Event("3", "job 3"))
	store := new(mock.Store)
	work := func(ctx context.Context, handle func(*client.Subscription, client.Event)) error {
		sub, err := client.Subscribe(context.Background(), feed, &client.Options{Name: "jobs", Store: store})
		if err != nil {
			return err
		}
		defer sub.Close()
		drained := make(chan error, 1)
		running := context.AfterFunc(ctx, func() {
			limit, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			err := sub.Drain(limit)
			if drained <- err; err != nil {
				sub.Close() // ends Process; the events that are left are delivered to the next worker
			}
		})
		err = sub.Process(context.Background(), func(_ context.Context, ev client.Event) error {
			handle(sub, ev)
			return nil
		}, nil)
		if !running() {
			err = errors.Join(err, <-drained)
		}
		return err
	}

	// In a program: signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, sigterm := context.WithCancel(context.Background())
	err := work(ctx, func(sub *client.Subscription, ev client.Event) {
		for sub.Stats().Received < 3 {
			time.Sleep(time.Millisecond)
		}
		sigterm()
		for sub.Stats().State != client.StateEnded {
			time.Sleep(time.Millisecond)
		}
		fmt.Printf("first worker: %s\n", ev.Data)
	})
	fmt.Println("first worker ended:", err)

	feed.Publish(mock.Event("4", "job 4"), mock.Complete())
	err = work(context.Background(), func(_ *client.Subscription, ev client.Event) {
		fmt.Printf("second worker: %s\n", ev.Data)
	})
	fmt.Println("second worker ended:", err)
	// Output:
	// first worker: job 1
	// first worker: job 2
	// first worker: job 3
	// first worker ended: <nil>
	// second worker: job 4
	// second worker ended: <nil>
}

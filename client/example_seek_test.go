package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// The events after "1" are handled again, although a subscription runs: it is fenced, and the next
// one resumes there.
func ExampleSetCheckpoint() {
	ctx := context.Background()
	feed := mock.NewFeed(mock.Event("1", "one"), mock.Event("2", "two"), mock.Event("3", "three"), mock.Complete())
	store := new(mock.Store) // in a program: client.FileStore(dir), or your own
	opts := &client.Options{Name: "numbers", Store: store}
	running, err := client.Subscribe(ctx, feed, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer running.Close()
	for range 2 {
		ev, err := running.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		ev.Ack()
	}
	if err := running.Commit(ctx); err != nil {
		log.Fatal(err)
	}

	seen, err := client.ReadCheckpoint(ctx, store, "numbers")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("epoch", seen.Epoch, "events", seen.Events)
	// Epoch: not if another process has taken the position over since.
	if _, err := client.SetCheckpoint(ctx, store, "numbers", "1", &client.SetOptions{Epoch: seen.Epoch}); err != nil {
		log.Fatal(err)
	}

	ev, err := running.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	ev.Ack()
	fmt.Println("fenced:", errors.Is(running.Commit(ctx), client.ErrFenced))
	again, err := client.Subscribe(ctx, feed, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer again.Close()
	for ev, err := range again.Events() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(ev.Data))
	}
	// Output:
	// epoch 1 events 2
	// fenced: true
	// two
	// three
}

// OverrideID makes StartAfter replace the stored position, once: the third process resumes where the
// second one stopped.
func ExampleOptions_overrideID() {
	feed := mock.NewFeed(mock.Event("1", "one"), mock.Event("2", "two"), mock.Event("3", "three"), mock.Complete())
	store := new(mock.Store)
	for _, opts := range []*client.Options{
		{Name: "numbers", Store: store},
		{Name: "numbers", Store: store, StartAfter: "1", OverrideID: "2026-11-30"},
		{Name: "numbers", Store: store, StartAfter: "1", OverrideID: "2026-11-30"},
	} {
		sub, err := client.Subscribe(context.Background(), feed, opts)
		if err != nil {
			log.Fatal(err)
		}
		for range 2 {
			ev, err := sub.Next(context.Background())
			if err != nil {
				fmt.Println(err) // the feed is complete
				break
			}
			fmt.Println(string(ev.Data))
			ev.Ack()
			if opts.OverrideID != "" {
				break // only one event
			}
		}
		sub.Close()
	}
	// Output:
	// one
	// two
	// two
	// three
}

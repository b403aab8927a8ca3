package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// A feed that drops connections and refuses new ones is one loop.
func ExampleSubscribe() {
	feed := mock.NewFeed( // in a program: &transport.HTTP{URL: "https://..."}
		mock.Event("1", "one"), mock.Drop(), mock.Refuse(), mock.Event("2", "two"), mock.Complete(),
	)
	sub, err := client.Subscribe(context.Background(), feed, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.ID, string(ev.Data))
	}
	// Output:
	// 1 one
	// 2 two
}

// A program that must not start with a wrong URL waits for the first connection.
func ExampleSubscription_WaitConnected() {
	feed := mock.NewFeed(mock.Status(503, http.Header{"Retry-After": {"3600"}})) // in a program: &transport.HTTP{URL: "https://..."}
	sub, err := client.Subscribe(context.Background(), feed, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := sub.WaitConnected(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// client: not connected: context deadline exceeded (attempts: 1, last failure: transport: mock://feed: status 503 Service Unavailable)
}

// With a Store, a process that is restarted resumes after the last event that it has finished.
func ExampleFileStore() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	feed := mock.NewFeed(mock.Event("1", "one"), mock.Event("2", "two"), mock.Event("3", "three"), mock.Complete())

	for process := range 2 {
		sub, err := client.Subscribe(context.Background(), feed, &client.Options{
			Name:  "numbers",
			Store: client.FileStore(dir),
		})
		if err != nil {
			log.Fatal(err)
		}
		for ev, err := range sub.Events() {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("process", process, "got", string(ev.Data))
			if ev.ID == "2" && process == 0 {
				break // not finished, so not acknowledged
			}
		}
		if err := sub.Close(); err != nil { // saves the position
			log.Fatal(err)
		}
	}
	// Output:
	// process 0 got one
	// process 0 got two
	// process 1 got two
	// process 1 got three
}

// A window of events is open at once, and the last one is finished first. The position follows the
// oldest event that is not finished.
func ExampleSubscription_Next() {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.Event("2", "b"), mock.Event("3", "c"), mock.Complete())
	sub, err := client.Subscribe(context.Background(), feed, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	var open []client.Event
	for {
		ev, err := sub.Next(context.Background())
		if err == io.EOF {
			break // the feed is complete
		}
		if err != nil {
			log.Fatal(err)
		}
		open = append(open, ev)
	}
	for _, ev := range slices.Backward(open) {
		ev.Ack()
		fmt.Println(string(ev.Data), "finished, events that the position has not passed:", sub.Stats().Buffered)
	}
	// Output:
	// c finished, events that the position has not passed: 3
	// b finished, events that the position has not passed: 3
	// a finished, events that the position has not passed: 0
}

// Writing to a database in batches: one transaction, one acknowledgement.
func ExampleSubscription_Batches() {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.Event("2", "b"), mock.Event("3", "c"), mock.Complete())
	sub, err := client.Subscribe(context.Background(), feed, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	rows := 0
	for batch, err := range sub.Batches(100, 50*time.Millisecond) {
		if err != nil {
			log.Fatal(err)
		}
		rows += len(batch)
	}
	fmt.Println(rows, "rows")
	// Output: 3 rows
}

// A gap reports in order that events may be missing, and why.
func ExampleEvent_gap() {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.Drop(), mock.Status(410), mock.Event("9", "b"), mock.Complete())
	sub, err := client.Subscribe(context.Background(), feed, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			log.Fatal(err)
		}
		if g := ev.Gap; g != nil {
			fmt.Printf("after %s something may be missing: %s\n", g.From, g.Reason)
		}
		fmt.Println(string(ev.Data))
	}
	// Output:
	// a
	// after 1 something may be missing: token rejected
	// b
}

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// Orders are handled on four goroutines, but those of one customer in order. The refused event of
// customer a blocks that customer until it succeeds.
func ExampleSubscription_Process() {
	feed := mock.NewFeed(mock.Event("1", "a: open"), mock.Event("2", "b: open"), mock.Event("3", "a: pay"),
		mock.Event("4", "b: pay"), mock.Complete())
	sub, err := client.Subscribe(context.Background(), feed, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()

	var mu sync.Mutex
	orders := map[string][]string{} // of each customer
	handle := func(ctx context.Context, ev client.Event) error {
		customer, order, _ := strings.Cut(string(ev.Data), ": ")
		mu.Lock()
		defer mu.Unlock()
		if order = fmt.Sprintf("%s#%d", order, ev.Attempt); order == "open#1" && customer == "a" {
			return client.RetryAfter(20*time.Millisecond, errors.New("the database is busy"))
		}
		orders[customer] = append(orders[customer], order)
		return nil
	}
	customer := func(ev client.Event) string { return string(ev.Data[:1]) }
	err = sub.Process(context.Background(), handle, &client.ProcessOptions{Workers: 4, KeyOf: customer})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a:", orders["a"])
	fmt.Println("b:", orders["b"])
	// Output:
	// a: [open#2 pay#1]
	// b: [open#1 pay#1]
}

// An event that cannot be handled after three attempts is put aside, and the feed continues. The
// position does not pass the event before DeadLetter has succeeded.
func ExampleOptions_deadLetter() {
	feed := mock.NewFeed(mock.Event("1", "10"), mock.Event("2", "ten"), mock.Event("3", "30"), mock.Complete())
	sub, err := client.Subscribe(context.Background(), feed, &client.Options{
		MaxAttempts: 3,
		DeadLetter: func(_ context.Context, ev client.Event, err error) error {
			fmt.Printf("put aside %s after attempt %d: %v\n", ev.ID, ev.Attempt, err)
			return nil // in a program: the error of the INSERT
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
		var amount int
		if err := json.Unmarshal(ev.Data, &amount); err != nil {
			ev.Nack(client.RetryAfter(20*time.Millisecond, errors.New("not a number")))
			continue
		}
		fmt.Println("amount", amount)
	}
	// Output:
	// amount 10
	// amount 30
	// put aside 2 after attempt 3: not a number
}

// An event that no attempt can handle is refused permanently at once. Without a DeadLetter, the
// subscription ends with the event.
func ExampleTerminal() {
	feed := mock.NewFeed(mock.Event("1", "10"), mock.Event("2", "ten"))
	sub, err := client.Subscribe(context.Background(), feed, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if refused := (*client.RefusedError)(nil); errors.As(err, &refused) {
			fmt.Printf("cannot handle %s: %v\n", refused.Event.ID, refused.Err)
			break
		}
		var amount int
		if json.Unmarshal(ev.Data, &amount) != nil {
			ev.Nack(client.Terminal(errors.New("not a number")))
			continue
		}
		fmt.Println("amount", amount)
	}
	// Output:
	// amount 10
	// cannot handle 2: not a number
}

package client_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// A dashboard draws prices more slowly than they change. It sees each symbol in turn, always with its
// latest price, and the feed is never slowed down. An alert has no key, so none is replaced.
func ExampleOptions_overflow() {
	feed := mock.NewFeed(
		mock.Event("1", "BTC 60000"), mock.Event("2", "ETH 3000"), mock.Event("3", "BTC 60010"), mock.Event("4", "! halted"),
		mock.Event("5", "BTC 60020"), mock.Event("6", "SOL 150"), mock.Event("7", "ETH 3001"), mock.Complete())
	sub, err := client.Subscribe(context.Background(), feed, &client.Options{
		Overflow: client.OverflowLatest,
		KeyOf: func(ev client.Event) string {
			symbol, _, _ := strings.Cut(string(ev.Data), " ")
			return strings.TrimPrefix(symbol, "!")
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for sub.Stats().Received < 7 { // in a program: the screen is busy
		time.Sleep(time.Millisecond)
	}
	for ev, err := range sub.Events() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s (%d older)\n", ev.Data, ev.Replaced)
	}
	fmt.Println("replaced:", sub.Stats().Dropped)
	// Output:
	// BTC 60020 (2 older)
	// ETH 3001 (1 older)
	// ! halted (0 older)
	// SOL 150 (0 older)
	// replaced: 3
}

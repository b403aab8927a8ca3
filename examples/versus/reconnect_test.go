package main

import (
	"context"
	"flag"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

var reconnecting = flag.Int("reconnect", 0, "number of WebSockets that reconnect at once in TestReconnect, such as 10000")

// TestReconnect shows what it takes when a server drops all WebSockets of a process at once, and
// all reconnect: go test -run TestReconnect -reconnect 10000 -v
func TestReconnect(t *testing.T) {
	n := *reconnecting
	if n == 0 {
		t.Skip("set -reconnect")
	}
	url := server(t)
	feed := "ws" + strings.TrimPrefix(url, "http") + "/dropped"
	subs := make([]*client.Subscription, n)
	each := func(f func(i int) error) time.Duration {
		start := time.Now()
		var all sync.WaitGroup
		for worker := range 16 {
			all.Go(func() {
				for i := worker; i < n; i += 16 {
					if err := f(i); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		return time.Since(start)
	}
	next := func(i int) error {
		ev, err := subs[i].Next(context.Background())
		ev.Ack()
		return err
	}
	before := usage()
	show := func(what string, took time.Duration) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := usage()
		t.Logf("%s: %v, %d goroutines, %d MiB of heap and stacks in use, %d MiB obtained from the system", what,
			took.Round(time.Millisecond), now.goroutines-before.goroutines, (now.heap+now.stacks-before.heap-before.stacks)>>20, m.Sys>>20)
	}
	show("opened", each(func(i int) (err error) {
		subs[i], err = client.Subscribe(context.Background(), &transport.WebSocket{URL: feed, CloseCode: -1}, nil)
		if err != nil {
			return err
		}
		return next(i)
	}))
	resp, err := http.Get(url + "/drop")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	show("reconnected", each(next))
	show("closed", each(func(i int) error { return subs[i].Close() }))
}

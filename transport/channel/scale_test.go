package channel_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/channel"
)

// A channel costs one goroutine, that of its subscription, and no more memory than a subscription.
func TestManyChannels(t *testing.T) {
	const channels = 500
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		p := &peer{context.Background(), ws}
		p.obey(func(a ask) {
			if a.Op == "sub" {
				for _, name := range a.Names {
					p.say(event(name, 1))
				}
			}
		})
	}))
	defer srv.Close()
	mux := &channel.Mux{
		Socket: &transport.WebSocket{URL: srv.URL}, Batch: 100,
		Subscribe: subscribe, Unsubscribe: unsubscribe, OnMessage: onMessage,
	}
	holder, err := mux.Channel("first").Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	heap, stack := memory()
	goroutines := runtime.NumGoroutine()
	var subs []*client.Subscription
	for i := range channels {
		subs = append(subs, subscribeTo(t, mux, fmt.Sprint(i), nil))
	}
	for _, sub := range subs {
		expect(t, "event", next(t, sub, 1), "1")
	}
	more := runtime.NumGoroutine() - goroutines
	h, s := memory()
	heap, stack = (h-heap)/channels, (s-stack)/channels
	t.Logf("%d channels: %d goroutines, %d bytes of heap and %d of stack each", channels, more, heap, stack)
	if more > channels+2 || heap > 16<<10 {
		t.Errorf("got %d goroutines and %d bytes of heap for each channel, want at most %d and 16 KiB", more, heap, channels+2)
	}
	var group sync.WaitGroup
	for _, sub := range subs {
		group.Go(func() { sub.Close() })
	}
	group.Wait()
	if got := mux.Stats(); got.Channels != 1 || got.Connections != 1 {
		t.Errorf("got %+v, want 1 channel and 1 connection", got)
	}
}

// memory returns the bytes that are allocated, and those of stacks.
func memory() (heap, stack int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc), int(m.StackInuse)
}

package client_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// serveSilence answers each connection with one event and then sends nothing.
func serveSilence(t *testing.T) (url string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		request := make([]byte, 4<<10)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			conn.Read(request)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n14\r\nid: 1\ndata: hello\n\n\n\r\n")
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return "http://" + ln.Addr().String()
}

// TestIdleMemory compares the heap that an idle subscription takes with that of a response of
// net/http. The sockets and the server's share are the same. Stacks do not count, because those of
// earlier goroutines are used again.
func TestIdleMemory(t *testing.T) {
	const n, limit = 64, 20 << 10
	url := serveSilence(t)
	grows := func(open func()) int64 {
		open() // what all share does not count
		before := heapInUse()
		for range n {
			open()
		}
		return (heapInUse() - before) / n
	}
	responses := grows(func() {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if _, err := resp.Body.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	})
	subscriptions := grows(func() {
		sub, err := client.Subscribe(context.Background(), &transport.HTTP{URL: url}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sub.Close() })
		ev, err := sub.Next(context.Background())
		if err != nil || string(ev.Data) != "hello" {
			t.Fatalf("got %q, error %v, want hello", ev.Data, err)
		}
		ev.Ack()
	})
	t.Logf("%d bytes for a subscription, %d for a response", subscriptions, responses)
	if over := subscriptions - responses; over > limit {
		t.Errorf("an idle subscription takes %d bytes more than a response, want at most %d", over, limit)
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // frees what the first has moved within pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

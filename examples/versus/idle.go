package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"text/tabwriter"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// idle shows the cost of a WebSocket that is silent after one message: heap and stacks of this
// process, and its goroutines, for each of n connections.
func idle(w io.Writer, server string, n int) error {
	url := "ws" + strings.TrimPrefix(server, "http") + "/hold"
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "idle WebSockets\tlibrary\tKiB each\theap\tstacks\tgoroutines each\n")
	for _, l := range []struct {
		name string
		open func(url string) (stop func(), err error)
	}{
		{"steadfeed", holdSubscription}, {"coder", holdCoder}, {"gorilla", holdGorilla}, {"gws", holdGWS},
	} {
		before := usage()
		stops := make([]func(), 0, n)
		for range n {
			stop, err := l.open(url)
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			stops = append(stops, stop)
		}
		after := usage()
		each := func(b, a uint64) float64 { return (float64(a) - float64(b)) / float64(n) }
		heap, stacks := each(before.heap, after.heap)/1024, each(before.stacks, after.stacks)/1024
		fmt.Fprintf(out, "%d\t%s\t%.1f\t%.1f\t%.1f\t%.2f\n", n, l.name, heap+stacks, heap, stacks,
			each(before.goroutines, after.goroutines))
		for _, stop := range stops {
			stop()
		}
	}
	return out.Flush()
}

type used struct{ heap, stacks, goroutines uint64 }

func usage() used {
	runtime.GC()
	runtime.GC() // frees what the first has moved within pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return used{m.HeapAlloc, m.StackInuse, uint64(runtime.NumGoroutine())}
}

// holdSocket is the server's side: it sends one message, then nothing until the client
// disconnects.
func holdSocket(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept(key))
	conn.Write(append(frameHeader(5), "hello"...))
	io.Copy(io.Discard, conn)
}

func holdSubscription(url string) (func(), error) {
	sub, err := client.Subscribe(context.Background(), &transport.WebSocket{URL: url, CloseCode: -1}, nil)
	if err != nil {
		return nil, err
	}
	ev, err := sub.Next(context.Background())
	ev.Ack()
	return func() { sub.Close() }, err
}

func holdCoder(url string) (func(), error) {
	conn, _, err := coder.Dial(context.Background(), url, nil)
	if err != nil {
		return nil, err
	}
	first := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, _, err := conn.Read(context.Background()); err != nil {
				return
			}
			first <- struct{}{}
		}
	}()
	<-first
	return func() { conn.CloseNow(); <-done }, nil
}

func holdGorilla(url string) (func(), error) {
	conn, _, err := gorilla.DefaultDialer.Dial(url, nil)
	if err != nil {
		return nil, err
	}
	first := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
			first <- struct{}{}
		}
	}()
	<-first
	return func() { conn.Close(); <-done }, nil
}

func holdGWS(url string) (func(), error) {
	h := &gwsHandler{t: &tally{}}
	conn, _, err := gws.NewClient(h, &gws.ClientOption{Addr: url})
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn.ReadLoop()
	}()
	return func() { conn.NetConn().Close(); <-done }, nil
}

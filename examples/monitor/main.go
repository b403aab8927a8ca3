// Command monitor follows fifty feeds, some of them ill on purpose, and serves a page that shows them.
// It plays the feeds itself, on 127.0.0.1. Stop it with Ctrl+C.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/monitorpage"
)

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "127.0.0.1:0", "address of the page")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *addr); err != nil {
		log.Fatal(err)
	}
}

// run serves the page until ctx ends.
func run(ctx context.Context, w io.Writer, addr string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fakes, err := startFakes(ctx)
	if err != nil {
		return err
	}
	defer fakes.stop()
	monitor := new(client.Monitor)
	var consumers sync.WaitGroup
	defer consumers.Wait() // after each Close, and cancel
	defer cancel()
	for _, f := range fakes.feeds() {
		sub, err := client.Subscribe(ctx, f.source, &client.Options{Name: f.name, Monitor: monitor, StuckAfter: 5 * time.Second})
		if err != nil {
			return err
		}
		defer sub.Close()
		consumers.Go(func() { consume(ctx, sub, f.stuck) })
	}

	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "http://%s/\n", l.Addr())
	srv := &http.Server{Handler: &monitorpage.Page{Monitor: monitor, Actions: true}}
	defer srv.Close()
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// consume handles events until the subscription ends. A stuck consumer holds the first one.
func consume(ctx context.Context, sub *client.Subscription, stuck bool) error {
	return sub.Process(ctx, func(ctx context.Context, ev client.Event) error {
		if stuck {
			<-ctx.Done()
		}
		return nil
	}, nil)
}

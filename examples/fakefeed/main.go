// Command fakefeed serves a feed on 127.0.0.1 that you control on its web page: it publishes,
// drops connections, falls silent and refuses attempts, while you watch how your consumer
// reacts.
//
//	go run ./examples/fakefeed
//	curl -N http://127.0.0.1:8080/sse
//
// Server-sent events are at /sse, newline-delimited JSON at /ndjson, WebSockets at /ws. With
// -replay it plays a recording of record.Transport.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/record"
)

// options are the flags.
type options struct {
	addr   string
	every  time.Duration
	replay string
	speed  float64
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8080", "address to listen on")
	flag.DurationVar(&o.every, "every", 0, "interval between events while a consumer is connected; 0: publish on the page only")
	flag.StringVar(&o.replay, "replay", "", "file with a recording to play")
	flag.Float64Var(&o.speed, "speed", 1, "speed of the replay; 0: without pauses")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, o options, out io.Writer) error {
	var script []mock.Step
	if o.replay != "" {
		var err error
		if script, err = readScript(o.replay, o.speed); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	f := newFakefeed(script)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler:     f.handler(),
		BaseContext: func(net.Listener) context.Context { return ctx }, // connections end with it
	}
	fmt.Fprintf(out, "page: http://%s/\nfeed: http://%[1]s/sse, http://%[1]s/ndjson and ws://%[1]s/ws\n", l.Addr())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		f.tick(ctx, o.every)
		srv.Close()
	}()
	err = srv.Serve(l)
	cancel()
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func readScript(name string, speed float64) ([]mock.Step, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return record.Replay(file, speed)
}

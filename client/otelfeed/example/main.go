// Example follows two feeds, of which one fails now and then and the other one is too fast, and
// exports their metrics for Prometheus.
//
//	go run ./example -addr 127.0.0.1:9464
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/otelfeed"
	"github.com/steadfeed/steadfeed/mock"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:9464", "address of /metrics")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string) error {
	exporter, err := prometheus.New()
	if err != nil {
		return err
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter))
	defer provider.Shutdown(context.Background())
	telemetry, err := otelfeed.New(&otelfeed.Options{MeterProvider: provider})
	if err != nil {
		return err
	}
	defer telemetry.Close()

	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: promhttp.Handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener)
	}()
	defer func() { server.Close(); <-served }()
	fmt.Printf("metrics at http://%s/metrics\n", listener.Addr())
	ctx, cancel := context.WithCancel(ctx)
	var both sync.WaitGroup
	defer both.Wait()
	defer cancel()
	both.Go(func() {
		if err := drop(ctx, telemetry); err != nil {
			log.Print(err)
		}
	})
	return follow(ctx, telemetry)
}

// drop consumes a feed that is faster than its consumer, which needs only the newest prices.
func drop(ctx context.Context, telemetry *otelfeed.Instrumentation) error {
	feed := mock.NewFeed()
	for n := range 10_000 {
		feed.Publish(mock.Event(fmt.Sprint(n), "price"), mock.Pause(10*time.Millisecond))
	}
	sub, err := telemetry.Subscribe(ctx, feed, &client.Options{Name: "prices", Buffer: 8, Overflow: client.OverflowDropOldest})
	if err != nil {
		return err
	}
	defer sub.Close()
	return sub.Process(ctx, func(context.Context, client.Event) error {
		time.Sleep(50 * time.Millisecond)
		return nil
	}, nil)
}

// follow consumes a feed whose connection is lost every ten events, whose server forgets the position
// once, and whose store fails at first.
func follow(ctx context.Context, telemetry *otelfeed.Instrumentation) error {
	feed := mock.NewFeed(mock.Event("0", "ok"), mock.Drop(), mock.Status(503), mock.Status(410))
	for n := 1; n <= 1000; n++ {
		feed.Publish(mock.Event(fmt.Sprint(n), "ok"), mock.Pause(100*time.Millisecond))
		if n%10 == 0 {
			feed.Publish(mock.Event(fmt.Sprint("bad", n), "bad"), mock.Drop(), mock.Status(503))
		}
	}
	store := &mock.Store{}
	sub, err := telemetry.Subscribe(ctx, feed, &client.Options{
		Name: "orders", Store: store, Dedupe: 100, MaxAttempts: 2,
		EventTime:  func(ev client.Event) time.Time { return ev.Received.Add(-time.Second) },
		DeadLetter: func(context.Context, client.Event, error) error { return nil },
	})
	if err != nil {
		return err
	}
	defer sub.Close()
	store.OnSave(&mock.Fault{Count: 3})
	return sub.Process(ctx, func(_ context.Context, ev client.Event) error {
		if string(ev.Data) == "bad" {
			return errors.New("bad order")
		}
		return nil
	}, nil)
}

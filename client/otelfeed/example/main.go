// Example follows a feed that fails now and then, and exports its metrics for Prometheus.
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
	return follow(ctx, telemetry)
}

// follow consumes a feed whose connection is lost every ten events, and whose server forgets the
// position once.
func follow(ctx context.Context, telemetry *otelfeed.Instrumentation) error {
	feed := mock.NewFeed(mock.Event("0", "ok"), mock.Drop(), mock.Status(503), mock.Status(410))
	for n := 1; n <= 1000; n++ {
		feed.Publish(mock.Event(fmt.Sprint(n), "ok"), mock.Pause(100*time.Millisecond))
		if n%10 == 0 {
			feed.Publish(mock.Event(fmt.Sprint("bad", n), "bad"), mock.Drop(), mock.Status(503))
		}
	}
	sub, err := telemetry.Subscribe(ctx, feed, &client.Options{
		Name: "orders", Store: &mock.Store{}, Dedupe: 100, MaxAttempts: 2,
		EventTime:  func(ev client.Event) time.Time { return ev.Received.Add(-time.Second) },
		DeadLetter: func(context.Context, client.Event, error) error { return nil },
	})
	if err != nil {
		return err
	}
	defer sub.Close()
	return sub.Process(ctx, func(_ context.Context, ev client.Event) error {
		if string(ev.Data) == "bad" {
			return errors.New("bad order")
		}
		return nil
	}, nil)
}

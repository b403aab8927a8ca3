package otelfeed_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/otelfeed"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

const secret = "s3cr3t"

var errHandler = errors.New("handler: " + secret)

// runScenario makes a feed do everything that has a metric, and calls check while it runs and after it was closed.
func runScenario(t *testing.T, mp metric.MeterProvider, tp trace.TracerProvider, live, closed func()) {
	synctest.Test(t, func(t *testing.T) {
		in, err := otelfeed.New(&otelfeed.Options{MeterProvider: mp, TracerProvider: tp})
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		feed := mock.NewFeed(
			mock.Event(secret+"1", "good"), mock.Event(secret+"1", "good"), mock.Event(secret+"2", "skip"), mock.Pause(time.Second),
			mock.Drop(), mock.Status(503), mock.Status(410), mock.Event(secret+"3", "bad"), mock.Event(secret+"4", "panic"), mock.Event(secret+"5", "good"))
		store, calls := &mock.Store{}, 0
		sub, err := in.Subscribe(t.Context(), feed, &client.Options{
			Name: "orders", Store: store, Lease: time.Hour, Dedupe: 10, Retry: retry.Constant(time.Second),
			Skip:      func(ev client.Event) bool { return string(ev.Data) == "skip" },
			EventTime: func(ev client.Event) time.Time { return ev.Received.Add(-2 * time.Second) },
			Backfill: func(context.Context, client.Gap, func(transport.Message) error) (string, error) {
				return "", client.ErrAcceptGap
			},
			DeadLetter: func(context.Context, client.Event, error) error {
				if calls++; calls == 1 {
					return errors.New(secret)
				}
				return nil
			},
			MaxAttempts: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		store.OnSave(&mock.Fault{Err: errors.New(secret)})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- sub.Process(ctx, func(_ context.Context, ev client.Event) error {
				switch string(ev.Data) {
				case "bad":
					return errHandler
				case "panic":
					panic(secret)
				}
				return nil
			}, nil)
		}()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		answerAll(in)
		live()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
		closed()
	})
}

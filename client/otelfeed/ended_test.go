package otelfeed_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/otelfeed"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// measured returns an Instrumentation and a function that returns the sum of a metric over its points
// with an error.type (or any, for "*").
func measured(t *testing.T) (*otelfeed.Instrumentation, func(name, kind string) (sum float64, points int)) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	in, err := otelfeed.New(&otelfeed.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), TracerProvider: noop.NewTracerProvider()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return in, func(name, kind string) (sum float64, points int) {
		fits := func(s attribute.Set) bool { v, _ := s.Value("error.type"); return kind == "*" || v.AsString() == kind }
		switch d := metricNamed(t, collect(t, reader), name).(type) {
		case metricdata.Sum[int64]:
			for _, p := range d.DataPoints {
				if fits(p.Attributes) {
					sum, points = sum+float64(p.Value), points+1
				}
			}
		case metricdata.Gauge[float64]:
			for _, p := range d.DataPoints {
				sum, points = sum+p.Value, points+1
			}
		}
		return sum, points
	}
}

// A Close that is not the wrapper's, such as through a client.Monitor, ends the observation too, and
// no counter decreases or counts twice.
func TestCloseOfTheSubscriptionItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, value := measured(t)
		sub, err := in.Subscribe(t.Context(), mock.NewFeed(mock.Event("1", "x"), mock.Event("2", "x"), mock.Stall()), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		time.Sleep(time.Second)
		for _, closed := range []bool{false, true, true} {
			if closed {
				if err := sub.Subscription.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if n, _ := value("steadfeed.messages.received", "*"); n != 2 {
				t.Errorf("closed %v: got %v messages received, want 2", closed, n)
			}
			if n := in.Observed(); (n == 0) != closed {
				t.Errorf("closed %v: got %d subscriptions observed", closed, n)
			}
			if _, points := value("steadfeed.subscription.state", "*"); (points == 0) != closed {
				t.Errorf("closed %v: got %d points of the state", closed, points)
			}
		}
		sub.Close()
		if n, _ := value("steadfeed.messages.received", "*"); n != 2 {
			t.Errorf("after both: got %v messages received, want 2", n)
		}
	})
}

// What Options.Overflow drops is counted, and the limits are those that apply.
func TestDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, value := measured(t)
		sub, err := in.Subscribe(t.Context(), mock.NewFeed(mock.Event("1", "x"), mock.Event("2", "x"), mock.Event("3", "x"), mock.Stall()),
			&client.Options{Buffer: 2, BufferBytes: 100, Overflow: client.OverflowDropOldest})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		time.Sleep(time.Second)
		for name, want := range map[string]float64{"steadfeed.messages.dropped": 1, "steadfeed.buffer.usage": 2,
			"steadfeed.buffer.limit": 2, "steadfeed.buffer.size.limit": 100} {
			if got, _ := value(name, "*"); got != want {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
	})
}

// Of subscriptions that share their attributes, the metric has the greatest lag.
func TestLagIsTheGreatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, value := measured(t)
		for _, lag := range []time.Duration{3, -1, 9, 2} {
			sub, err := in.Subscribe(t.Context(), mock.NewFeed(mock.Event("1", "x"), mock.Stall()), &client.Options{Name: "n",
				EventTime: func(ev client.Event) time.Time { return ev.Received.Add(-lag * time.Second) }})
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
		}
		time.Sleep(time.Second)
		for range 10 { // in the order of a map
			if got, _ := value("steadfeed.event.lag", "*"); got != 9 {
				t.Errorf("got %v s, want 9", got)
			}
		}
	})
}

// A gapped feed reports a loss for a reason of its own.
type gapped struct{ transport.Transport }

func (g gapped) Open(ctx context.Context, token string) (*transport.Session, error) {
	s, err := g.Transport.Open(ctx, token)
	if err == nil {
		s.Conn = gappedConn{s.Conn}
	}
	return s, err
}

type gappedConn struct{ transport.Conn }

func (c gappedConn) Read(m *transport.Message) error {
	err := c.Conn.Read(m)
	m.Gap = &transport.Gap{Reason: secret}
	return err
}

// The reason of a gap is one of few.
func TestReasonOfGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		in, err := otelfeed.New(&otelfeed.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		sub, err := in.Subscribe(t.Context(), gapped{mock.NewFeed(mock.Event("1", "x"), mock.Stall())}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		time.Sleep(time.Second)
		d, _ := metricNamed(t, collect(t, reader), "steadfeed.gaps").(metricdata.Sum[int64])
		if len(d.DataPoints) != 1 {
			t.Fatalf("got %v, want one point", d.DataPoints)
		}
		if v, _ := d.DataPoints[0].Attributes.Value("steadfeed.gap.reason"); v.AsString() != "_OTHER" {
			t.Errorf("got reason %q, want _OTHER", v.AsString())
		}
	})
}

// A loud error has a method ErrorType that returns what must not be an attribute.
type loud struct{}

func (loud) Error() string     { return secret }
func (loud) ErrorType() string { return secret }

// The error.type of a handler's error is one of few.
func TestErrorTypeOfHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, value := measured(t)
		sub, err := in.Subscribe(t.Context(), mock.NewFeed(mock.Stall()), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		for err, want := range map[error]string{
			loud{}:                                  "otelfeed_test.loud",
			fmt.Errorf("%s: %w", secret, loud{}):    "otelfeed_test.loud",
			client.Terminal(&client.RefusedError{}): "*client.RefusedError",
			client.RetryAfter(time.Second, loud{}):  "otelfeed_test.loud",
			errors.New(secret):                      "*errors.errorString",
			fmt.Errorf("%w", context.Canceled):      "canceled",
			context.DeadlineExceeded:                "timeout",
		} {
			before, _ := value("messaging.client.consumed.messages", want)
			_, end := sub.Start(t.Context(), client.Event{})
			end(err)
			if after, _ := value("messaging.client.consumed.messages", want); after != before+1 {
				t.Errorf("%T: got %v of %s, want %v", err, after, want, before+1)
			}
		}
	})
}

// The functions of the program's Trace are called too, and each state is observed as what it is.
func TestTraceOfTheProgramAndStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		in, err := otelfeed.New(&otelfeed.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		connected := 0
		sub, err := in.Subscribe(t.Context(), mock.NewFeed(mock.Stall()),
			&client.Options{Trace: &client.Trace{Connected: func(client.ConnectInfo) { connected++ }}})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		time.Sleep(time.Second)
		sub.Pause()
		synctest.Wait()
		if connected != 1 {
			t.Errorf("got %d calls of Trace.Connected, want 1", connected)
		}
		d, _ := metricNamed(t, collect(t, reader), "steadfeed.subscription.state").(metricdata.Sum[int64])
		for _, p := range d.DataPoints {
			v, _ := p.Attributes.Value("steadfeed.state")
			if want := v.AsString() == "paused"; (p.Value == 1) != want {
				t.Errorf("state %q: got %d", v.AsString(), p.Value)
			}
		}
	})
}

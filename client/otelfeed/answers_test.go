package otelfeed_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/otelfeed"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// answerAll answers three requests.
func answerAll(in *otelfeed.Instrumentation) {
	h := in.Handler("orders", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/busy":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/text":
			io.WriteString(w, "done")
		}
	}))
	for _, path := range []string{"/busy", "/text", "/"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", path, nil))
	}
}

// Against a Receiver and a server: one delivery is accepted, and one has no valid signature.
func TestAnswersOfAReceiver(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	in, err := otelfeed.New(&otelfeed.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
		TracerProvider: noop.NewTracerProvider()})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	p := (&provider.Provider{Name: "test", Scheme: provider.Token{Header: "X-Token"}}).WithSecrets(secret)
	hook := &webhook.Receiver{Provider: p}
	sub, err := in.Subscribe(t.Context(), hook, &client.Options{Name: "hooks"})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if err := sub.WaitConnected(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sub.Process(ctx, func(context.Context, client.Event) error { return nil }, nil) }()
	srv := httptest.NewServer(in.Handler("hooks", hook))
	for _, token := range []string{secret, "wrong"} {
		req, _ := http.NewRequest("POST", srv.URL, strings.NewReader("{}"))
		req.Header.Set("X-Token", token)
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	srv.Close()
	cancel()
	<-done
	sum, _ := metricNamed(t, collect(t, reader), "steadfeed.webhook.answers").(metricdata.Sum[int64])
	got := map[int64]int64{}
	for _, point := range sum.DataPoints {
		status, _ := point.Attributes.Value("http.response.status_code")
		system, _ := point.Attributes.Value("messaging.system")
		name, _ := point.Attributes.Value("messaging.destination.name")
		if system != attribute.StringValue("webhook") || name != attribute.StringValue("hooks") {
			t.Errorf("got %v, want the attributes of the subscription", point.Attributes)
		}
		got[status.AsInt64()] += point.Value
	}
	if len(got) != 2 || got[401] != 1 || got[200]+got[202]+got[204] != 1 {
		t.Errorf("got %v, want a 401 and a 2xx", got)
	}
}

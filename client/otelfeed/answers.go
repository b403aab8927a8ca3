package otelfeed

import (
	"net/http"

	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Handler returns a handler that calls h, a webhook.Receiver, and counts its answers by status in
// steadfeed.webhook.answers. Senders stop repeating deliveries, so answers other than 2xx precede losses.
// name is the client.Options.Name of the subscription, and passed to Options.DestinationOf. A Receiver
// with an Addr has a server of its own, whose answers are not counted.
func (in *Instrumentation) Handler(name string, h http.Handler) http.Handler {
	_, attrs := in.attributes("webhook", name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w}
		h.ServeHTTP(a, r)
		if a.code == 0 {
			a.code = http.StatusOK
		}
		in.inst.answers.Add(r.Context(), 1, metric.WithAttributeSet(attrs), metric.WithAttributes(semconv.HTTPResponseStatusCode(a.code)))
	})
}

// An answer keeps the status.
type answer struct {
	http.ResponseWriter
	code int // 0 before the header
}

func (a *answer) WriteHeader(code int) {
	if a.code == 0 && code >= 200 {
		a.code = code
	}
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) Write(data []byte) (int, error) {
	if a.code == 0 {
		a.code = http.StatusOK
	}
	return a.ResponseWriter.Write(data)
}

// Unwrap lets an http.ResponseController set deadlines.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

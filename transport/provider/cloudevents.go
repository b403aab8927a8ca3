package provider

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// CloudEvents takes events in binary, structured and batch mode, with a bearer token, since
// they have no signature of their own; Scheme may be any other. Of origins, those that may
// send are told so when they ask; "*" is all of them.
//
// Several senders drop an event after a 401, so one whose token does not match is answered
// 503.
//
// The ID of an event is its source and its id. Those of binary mode are as the header has
// them: many senders do not percent-encode them, and /a%2Fb would become the /a/b of another
// event. Message.Header has the Ce-* fields likewise; only Type is decoded.
// (https://github.com/cloudevents/spec, HTTP protocol binding and HTTP 1.1 web hooks)
func CloudEvents(origins []string, secrets ...string) *Provider {
	p := &Provider{
		Name: "cloudevents",
		Answers: Answers{
			Queued: Answer{Status: http.StatusAccepted}, // section 2.2 of the web hook specification
			Forged: again(), Malformed: again(),
		},
		Retry:    Retry{Final: cloudEventsFinal},
		Scheme:   Token{Header: "Authorization", Prefix: "Bearer "},
		Payload:  Payload{split: cloudEvents},
		Greeting: func(r *Request) (*Answer, bool) { return originGreeting(r, origins) },
	}
	return p.with(secrets)
}

// cloudEventsFinal is what Event Grid and Knative do not repeat a delivery after, and 410, which
// retires a receiver (section 2.2 of the web hook specification).
func cloudEventsFinal(a Answer) bool {
	switch a.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusGone,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return true
	}
	return false
}

// originGreeting answers the validation of section 4 of the web hook specification. The
// callback that it may name is not called.
func originGreeting(r *Request, origins []string) (*Answer, bool) {
	if r.Method != http.MethodOptions {
		return nil, false
	}
	asked := r.Header["Webhook-Request-Origin"]
	if len(asked) == 0 {
		return nil, false
	}
	a := &Answer{Status: http.StatusOK, Header: http.Header{"Allow": {http.MethodPost}}}
	switch {
	case slices.Contains(origins, "*"):
		a.Header.Set("WebHook-Allowed-Origin", "*")
	case len(asked) == 1 && slices.Contains(origins, asked[0]):
		a.Header.Set("WebHook-Allowed-Origin", asked[0])
	default:
		return &Answer{Status: http.StatusForbidden}, true
	}
	if r.Header.Get("WebHook-Request-Rate") != "" {
		a.Header.Set("WebHook-Allowed-Rate", "*")
	}
	return a, true
}

func cloudEvents(r *Request, payload []byte, events []Event) (_ []Event, ok bool) {
	switch mediaType(r) {
	case "application/cloudevents+json":
		return append(events, cloudEvent(payload)), true
	case "application/cloudevents-batch+json":
		ok = elements(payload, "@this", func(item []byte) bool {
			events = append(events, cloudEvent(item))
			return true
		})
		return events, ok
	}
	id, source := first(r.Header, "Ce-Id"), first(r.Header, "Ce-Source")
	if id == "" {
		return nil, false
	}
	return append(events, Event{ID: ceID(source, id), Type: ceHeader(r, "Ce-Type"), Data: payload}), true
}

func cloudEvent(data []byte) Event {
	field := decode.Check(data).Field
	return Event{ID: ceID(field("source"), field("id")), Type: field("type"), Data: data}
}

// ceID is unique among all sources: an id alone is unique among those of its source. A source
// is a URI, and has neither a space nor a quote; one that has is quoted, so that no two pairs
// are the same.
func ceID(source, id string) string {
	if id == "" {
		return ""
	}
	if strings.ContainsAny(source, ` "`) {
		source = strconv.Quote(source)
	}
	return source + " " + id
}

// ceHeader undoes the quotes that older senders write, and then the percent-encoding
// (section 3.1.3.2 of the HTTP binding).
func ceHeader(r *Request, name string) string {
	value := unquote(r.Header.Get(name))
	if plain, err := url.PathUnescape(value); err == nil {
		return plain
	}
	return value
}

// unquote returns what a quoted string stands for (RFC 9110, section 5.6.4), and anything
// else as it is.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for s = s[1 : len(s)-1]; s != ""; s = s[1:] {
		if s[0] == '\\' && len(s) > 1 {
			s = s[1:]
		}
		b.WriteByte(s[0])
	}
	return b.String()
}

// AzureEventGrid takes the schema of Event Grid and, where a subscription is set so, that
// of CloudEvents from the given origins as well. A secret is the value of the parameter
// "code" in the URL of the subscription; for a header instead, Scheme is to be changed.
// The validation is answered, and its URL not called.
//
// After 400, 401, 403 and 413, Event Grid drops the events at once, or stores them as dead
// letters if that is set up. A code that is missing or does not match is therefore answered
// 503, and the events come again once the secrets are right. A body above Webhook.MaxBody is
// 413 and lost: an event has up to 1 MiB, and a batch may have more, so set MaxBody to 2 MiB.
// (https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema,
// https://learn.microsoft.com/azure/event-grid/delivery-and-retry)
func AzureEventGrid(origins []string, secrets ...string) *Provider {
	p := &Provider{
		Name: "eventgrid", Deadline: 25 * time.Second,
		Answers: Answers{Forged: again(), Malformed: again()},
		Retry: Retry{
			Waits: []time.Duration{
				10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
				time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
			},
			Final: after(http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge),
			Count: Source{Header: "Aeg-Delivery-Count"},
		},
		Scheme: Token{Query: "code"},
		Payload: Payload{
			Items: "@this", ID: path("id"), Type: path("eventType", "type"), split: cloudEvents,
		},
		Greeting:  func(r *Request) (*Answer, bool) { return originGreeting(r, origins) },
		Challenge: eventGridChallenge,
	}
	return p.with(secrets)
}

func eventGridChallenge(r *Request, d *Delivery) *Answer {
	if r.Header.Get("Aeg-Event-Type") != "SubscriptionValidation" || !bytes.Contains(r.Body, []byte("validationCode")) {
		return nil
	}
	d.Events = nil
	code := decode.Field("0.data.validationCode")(r.Body)
	if !harmless(code, "") {
		return &Answer{Status: http.StatusBadRequest}
	}
	return jsonAnswer(`{"validationResponse":"` + code + `"}`)
}

package provider

import (
	"bytes"
	"cmp"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// AzureEventGrid returns the Provider for Azure Event Grid, in its own schema or that of
// CloudEvents, as a subscription is configured. The ID of an event is its topic or source, and its
// id. origins are those of CloudEvents. A secret is
// the value of the parameter "code" in the URL of the subscription; set Scheme to use a header
// instead. The validation is answered; its validation URL is not called.
//
// After 400, 401, 403 and 413, Event Grid drops the events, or dead-letters them if that is
// configured. Therefore the answer to a missing or wrong code is 503, and Event Grid repeats
// the events. A body above Receiver.MaxBody is answered 413 and lost: an event may have 1 MiB
// and a batch more, so set MaxBody to 2 MiB.
// (https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema,
// https://learn.microsoft.com/azure/event-grid/delivery-and-retry)
func AzureEventGrid(origins []string, secrets ...string) *Provider {
	p := &Provider{
		Name: "eventgrid", Deadline: 25 * time.Second,
		Answers: Answers{Forged: unavailable(), Malformed: unavailable()},
		Retry: Retry{
			Waits: []time.Duration{
				10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
				time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
			},
			Final: finalAfter(http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge),
			Count: Source{Header: "Aeg-Delivery-Count"},
		},
		Scheme: Token{Query: "code"},
		Payload: Payload{
			Items: "@this", ID: path("id"), Type: path("eventType", "type"), split: eventGridEvents, Unique: true,
		},
		Handshake: func(r *Request) (*Answer, bool) { return originHandshake(r, origins) },
		Respond:   eventGridResponse,
	}
	return p.with(secrets)
}

// eventGridEvents appends events of either schema. The id of an event is unique within its topic.
func eventGridEvents(r *Request, payload []byte, events []Event) ([]Event, bool) {
	if list, ok := cloudEvents(r, payload, events); ok {
		return list, true
	}
	before := len(events)
	ok := elements(payload, "@this", func(item []byte) bool {
		field := decode.Fields(item)
		id := field("id")
		if topic := field("topic"); topic != "" {
			id = ceID(topic, id)
		}
		events = append(events, Event{ID: id, Type: cmp.Or(field("eventType"), field("type")), Data: item})
		return true
	})
	if !ok {
		events = events[:before]
	}
	return events, ok
}

func eventGridResponse(r *Request, d *Delivery) *Answer {
	if r.Header.Get("Aeg-Event-Type") != "SubscriptionValidation" || !bytes.Contains(r.Body, []byte("validationCode")) {
		return nil
	}
	d.Events = nil
	code := decode.Field(r.Body, "0.data.validationCode")
	if !harmless(code, "") {
		return &Answer{Status: http.StatusBadRequest}
	}
	return jsonAnswer(`{"validationResponse":"` + code + `"}`)
}

package provider

import (
	"bytes"
	"encoding/json"

	"github.com/steadfeed/steadfeed/decode"
)

// Payload describes how the events are found in a body.
type Payload struct {
	// Form is the field of a form, URL-encoded or multipart, that holds the payload. Default: the
	// body is the payload.
	Form string

	// Items is the gjson path of an array in the payload, with an event in each element;
	// "@this" if the payload is that array. With Items, newline-delimited JSON has an event on
	// each line. It is recognized by a JSON object on each line, whatever its media type is, or by
	// its media type. Default: the payload is one event.
	Items string

	ID   Source // of an event
	Type Source // of an event

	// Unique means that the sender gives each event an ID that identifies it among all deliveries,
	// so that an event is a duplicate of one with the same ID in another delivery. It has no effect
	// where a signature covers the event and not its ID. Default: events are compared with those
	// of the same delivery only.
	Unique bool

	// split appends to events. It is tried before Items.
	split func(r *Request, payload []byte, events []Event) ([]Event, bool)
}

// of returns the payload of r.
func (y *Payload) of(r *Request) []byte {
	if r.isQuery() {
		return r.form()
	}
	if y.Form == "" || !isForm(r) {
		return r.Body
	}
	fields, ok := formFields(r, r.Body, y.Form)
	if !ok || fields[0].n == 0 {
		return r.Body
	}
	return []byte(fields[0].value)
}

// events appends the events of a payload to room, which is empty.
func (y *Payload) events(r *Request, payload []byte, room []Event) []Event {
	if y.split != nil {
		if events, ok := y.split(r, payload, room); ok {
			return events
		}
	}
	if y.Items != "" {
		if events, ok := y.items(r, payload, room); ok {
			return events
		}
	}
	return append(room, y.event(r, &content{data: payload}))
}

func (y *Payload) event(r *Request, c *content) Event {
	return Event{ID: y.ID.value(r, c), Type: y.kind(r, c), Data: c.data}
}

// kind returns the type of an event. Unlike an id, by which a delivery is recognized, it does not
// require that all of the payload is JSON. Most senders put it first.
func (y *Payload) kind(r *Request, c *content) string {
	c.early = true
	return y.Type.value(r, c)
}

// items appends an event for each item of a payload to events. ok is false if the payload does
// not match Items.
func (y *Payload) items(r *Request, payload []byte, events []Event) (_ []Event, ok bool) {
	add := func(data []byte) bool {
		events = append(events, y.event(r, &content{data: data}))
		return true
	}
	before := len(events)
	if ok = elements(payload, y.Items, add); ok {
		return events, true
	}
	events = events[:before]
	if f, known := decode.Auto(firstHeader(r.Header, "Content-Type")); isLines(payload) || known && f == (decode.NDJSON) {
		ok = each(decode.NDJSON, withoutBOM(payload), add)
	}
	return events, ok
}

// isLines reports whether a payload that is not JSON has a JSON object on each of its lines. Many
// senders give newline-delimited JSON another type, such as application/json or text/plain.
func isLines(payload []byte) bool {
	payload = bytes.TrimSpace(withoutBOM(payload))
	if !bytes.Contains(payload, []byte("\n")) || json.Valid(payload) {
		return false
	}
	for line := range bytes.Lines(payload) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && (line[0] != '{' || !json.Valid(line)) {
			return false
		}
	}
	return true
}

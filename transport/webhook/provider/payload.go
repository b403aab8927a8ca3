package provider

import (
	"bytes"
	"encoding/json"
	"net/url"

	"github.com/steadfeed/steadfeed/decode"
)

// Payload describes how the events are found in a body.
type Payload struct {
	// Form is the field of a form body that holds the payload. Default: the body is the
	// payload.
	Form string

	// Items is the gjson path of an array in the payload, with an event in each element;
	// "@this" if the payload is that array. With Items, newline-delimited JSON has an event on
	// each line; it is recognized by its media type, or by a JSON object on each of several
	// lines. Default: the payload is one event.
	Items string

	ID   Source // of an event
	Type Source // of an event

	// split appends to events. It is tried before Items.
	split func(r *Request, payload []byte, events []Event) ([]Event, bool)
}

// of returns the payload in the body of r.
func (y *Payload) of(r *Request) []byte {
	if y.Form == "" || mediaType(r) != formType {
		return r.Body
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || !form.Has(y.Form) {
		return r.Body
	}
	return []byte(form.Get(y.Form))
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
	if f, known := decode.Auto(r.Header.Get("Content-Type")); known && f == (decode.NDJSON) {
		ok = each(f, withoutBOM(payload), add)
		return events, ok
	}
	before := len(events)
	if ok = elements(payload, y.Items, add); !ok && isLines(payload) {
		events = events[:before]
		ok = each(decode.NDJSON, withoutBOM(payload), add)
	}
	return events, ok
}

// isLines reports whether a payload that is not JSON has a JSON object on each of its lines.
// Some senders give newline-delimited JSON the type application/json.
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

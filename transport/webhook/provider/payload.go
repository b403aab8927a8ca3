package provider

import (
	"bytes"
	"encoding/json"
	"math"
	"mime"
	"net/url"
	"sync/atomic"

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

// opened is a Delivery with room for one event, since most have only one.
type opened struct {
	Delivery
	one [1]Event
}

// place returns the memory for a Delivery of r: inside r for the first one.
func (r *Request) place() *opened {
	if atomic.CompareAndSwapUint32(&r.taken, 0, 1) {
		return &r.opened
	}
	return new(opened)
}

// open returns the Delivery of a verified request.
func (p *Provider) open(r *Request, m match) *Delivery {
	y := &p.Payload
	payload := content{data: y.of(r)}
	o := r.place()
	o.Delivery = Delivery{ID: m.id, Signed: m.id != "", Proof: m.proof, Key: m.key}
	if o.ID == "" {
		o.ID = p.ID.in(r, &payload)
		o.Signed = o.ID != "" && m.proof == ProofBody && p.ID.Header == ""
	}
	if p.Retry.Count.isSet() {
		o.Attempt = p.attempt(r, &payload)
	}
	switch {
	case y.split != nil || y.Items != "":
		o.Events = y.events(r, payload.data, o.one[:0])
	case m.id == "" && y.ID.same(&p.ID):
		o.one[0] = Event{ID: o.ID, Type: y.Type.in(r, &payload), Data: payload.data}
		o.Events = o.one[:]
	default:
		o.one[0] = y.event(r, &payload)
		o.Events = o.one[:]
	}
	return &o.Delivery
}

// of returns the payload in the body of r.
func (y *Payload) of(r *Request) []byte {
	if y.Form == "" || mediaType(r) != "application/x-www-form-urlencoded" {
		return r.Body
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || !form.Has(y.Form) {
		return r.Body
	}
	return []byte(form.Get(y.Form))
}

func mediaType(r *Request) string {
	value := first(r.Header, "Content-Type")
	if value == "application/json" {
		return value
	}
	media, _, err := mime.ParseMediaType(value)
	if err != nil {
		return ""
	}
	return media
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
	return Event{ID: y.ID.in(r, c), Type: y.Type.in(r, c), Data: c.data}
}

// items appends an event for each item of a payload to events. ok is false if the payload does
// not match Items.
func (y *Payload) items(r *Request, payload []byte, events []Event) (_ []Event, ok bool) {
	add := func(data []byte) bool {
		events = append(events, y.event(r, &content{data: data}))
		return true
	}
	if f, known := decode.Auto(r.Header.Get("Content-Type")); known && f == (decode.NDJSON{}) {
		ok = each(f, withoutBOM(payload), add)
		return events, ok
	}
	before := len(events)
	if ok = elements(payload, y.Items, add); !ok && isLines(payload) {
		events = events[:before]
		ok = each(decode.NDJSON{}, withoutBOM(payload), add)
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

// withoutBOM returns data without a leading byte order mark (RFC 8259, section 8.1).
func withoutBOM(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) }

// elements calls yield with each element of the array at path until yield returns false. ok is
// false if there is no array.
func elements(payload []byte, path string, yield func([]byte) bool) (ok bool) {
	payload = withoutBOM(payload)
	array := payload
	if path != "@this" {
		array = within(payload, decode.Field(path)(payload))
	} else if decode.Field("#")(payload) == "" { // the number of elements
		return false
	}
	if array = bytes.TrimLeft(array, " \t\r\n"); len(array) == 0 || array[0] != '[' {
		return false
	}
	return each(decode.JSONArray{}, array, yield)
}

// within returns text as a subslice of payload, or a copy if payload does not contain it.
func within(payload []byte, text string) []byte {
	if i := bytes.Index(payload, []byte(text)); i >= 0 {
		return payload[i : i+len(text) : i+len(text)]
	}
	return []byte(text)
}

// each calls yield with the events of data, which is complete, until yield returns false. ok
// is false if data is malformed.
func each(f decode.Format, data []byte, yield func([]byte) bool) (ok bool) {
	s := f.NewSplitter(math.MaxInt)
	for {
		n, frame, ok, err := s.Split(data, true)
		if err != nil {
			return false
		}
		if ok && frame.Kind == decode.Data && !yield(frame.Data) {
			return true
		}
		if data = data[n:]; !ok && n == 0 {
			return len(data) == 0
		}
	}
}

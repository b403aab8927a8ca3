package provider

import (
	"bytes"
	"math"
	"mime"
	"net/url"

	"github.com/steadfeed/steadfeed/decode"
)

// Payload is how the events of a sender are found in a body.
type Payload struct {
	// Form names the field of a form body that is the payload. Default: the body is it.
	Form string

	// Items is the gjson path of an array in the payload with an event in each element,
	// "@this" if the payload is that array. A body of newline-delimited JSON is then taken
	// line by line as well. Default: the payload is one event.
	Items string

	ID   Source // of an event
	Type Source // of an event

	split func(r *Request, payload []byte) ([]Event, bool) // before Items
}

// opened is a Delivery with room for the one event that most of them have.
type opened struct {
	Delivery
	one [1]Event
}

// open takes a verified request apart.
func (p *Provider) open(r *Request, m match) *Delivery {
	payload := p.Payload.of(r)
	o := &opened{Delivery: Delivery{ID: m.id, Signed: m.id != "", Proof: m.proof, Key: m.key}}
	if o.ID == "" {
		o.ID = p.ID.in(r, payload)
		o.Signed = o.ID != "" && m.proof == ProofBody && p.ID.Header == ""
	}
	o.Events = p.Payload.events(r, payload, o.one[:0])
	return &o.Delivery
}

// of returns the payload of a body.
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
	value := r.Header.Get("Content-Type")
	if value == "application/json" {
		return value
	}
	media, _, err := mime.ParseMediaType(value)
	if err != nil {
		return ""
	}
	return media
}

func (y *Payload) events(r *Request, payload []byte, one []Event) []Event {
	if y.split != nil {
		if events, ok := y.split(r, payload); ok {
			return events
		}
	}
	if y.Items != "" {
		if items, ok := y.items(r, payload); ok {
			events := make([]Event, 0, len(items))
			for _, data := range items {
				events = append(events, y.event(r, data))
			}
			return events
		}
	}
	return append(one, y.event(r, payload))
}

func (y *Payload) event(r *Request, data []byte) Event {
	return Event{ID: y.ID.in(r, data), Type: y.Type.in(r, data), Data: data}
}

// items cuts a payload, if it is what Items says.
func (y *Payload) items(r *Request, payload []byte) (items [][]byte, ok bool) {
	if f, known := decode.Auto(r.Header.Get("Content-Type")); known && f == (decode.NDJSON{}) {
		return cut(decode.NDJSON{}, payload)
	}
	array := payload
	if y.Items != "@this" {
		text := decode.Field(y.Items)(payload)
		array = within(payload, text)
	}
	if trimmed := bytes.TrimLeft(array, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '[' || !isJSON(array) {
		return nil, false
	}
	return cut(decode.JSONArray{}, array)
}

// isJSON tells whether data is one JSON value.
func isJSON(data []byte) bool { return decode.Field("@this")(data) != "" }

// within returns text as a part of payload, where it can be found there.
func within(payload []byte, text string) []byte {
	if i := bytes.Index(payload, []byte(text)); i >= 0 {
		return payload[i : i+len(text) : i+len(text)]
	}
	return []byte(text)
}

// cut returns the frames of data, which is whole.
func cut(f decode.Format, data []byte) (items [][]byte, ok bool) {
	s := f.NewSplitter(math.MaxInt)
	for {
		n, frame, ok, err := s.Split(data, true)
		if err != nil {
			return nil, false
		}
		if ok && frame.Kind == decode.Data {
			items = append(items, frame.Data)
		}
		data = data[n:]
		if !ok && len(data) == 0 {
			return items, true
		}
	}
}

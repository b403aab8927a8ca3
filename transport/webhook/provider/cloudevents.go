package provider

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/steadfeed/steadfeed/decode"
)

// CloudEvents returns the Provider for senders of CloudEvents, in binary, structured or batch
// mode. CloudEvents defines no signature: a secret is a bearer token, and Scheme may be any
// other. origins are the origins to which the validation handshake grants permission; "*"
// grants it to all.
//
// The ID of an event is its source and its id. In binary mode they are the raw header values:
// many senders do not percent-encode them, and a decoded /a%2Fb would equal the /a/b of
// another event. The Ce-* fields of the header are raw too; only Type is decoded.
//
// Several senders drop an event after a 401. Therefore the answer to a missing or wrong token
// is 503.
// (https://github.com/cloudevents/spec, HTTP protocol binding and HTTP 1.1 web hooks)
func CloudEvents(origins []string, secrets ...string) *Provider {
	p := &Provider{
		Name: "cloudevents",
		Answers: Answers{
			Queued: Answer{Status: http.StatusAccepted}, // section 2.2 of the web hook specification
			Forged: unavailable(), Malformed: unavailable(),
		},
		Retry:     Retry{Final: cloudEventsFinal},
		Scheme:    Token{Header: "Authorization", Prefix: "Bearer "},
		Payload:   Payload{split: cloudEvents, Unique: true},
		Handshake: func(r *Request) (*Answer, bool) { return originHandshake(r, origins) },
	}
	return p.with(secrets)
}

// cloudEventsFinal reports whether Event Grid and Knative do not repeat a delivery after an
// answer. It includes 410, which retires a receiver (section 2.2 of the web hook
// specification).
func cloudEventsFinal(a Answer) bool {
	switch a.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusGone,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return true
	}
	return false
}

// originHandshake answers the validation of section 4 of the web hook specification. It does
// not call the callback that the request may name.
func originHandshake(r *Request, origins []string) (*Answer, bool) {
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
	id, source := firstHeader(r.Header, "Ce-Id"), firstHeader(r.Header, "Ce-Source")
	if id == "" {
		return nil, false
	}
	return append(events, Event{ID: ceID(source, id), Type: ceHeader(r, "Ce-Type"), Data: payload}), true
}

func cloudEvent(data []byte) Event {
	field := decode.Fields(data)
	return Event{ID: ceID(field("source"), field("id")), Type: field("type"), Data: data}
}

// ceID returns an id that is unique among all sources; an id of CloudEvents is unique within
// its source only. A source is a URI, without spaces and quotes. One that has them is quoted,
// so that different pairs never have the same id.
func ceID(source, id string) string {
	if id == "" {
		return ""
	}
	if strings.ContainsAny(source, ` "`) {
		source = strconv.Quote(source)
	}
	return source + " " + id
}

// ceHeader removes the quotes that older senders write, and then the percent-encoding (section
// 3.1.3.2 of the HTTP binding).
func ceHeader(r *Request, name string) string {
	value := unquote(r.Header.Get(name))
	if plain, err := url.PathUnescape(value); err == nil {
		return plain
	}
	return value
}

// unquote returns the value of a quoted string (RFC 9110, section 5.6.4), and any other text
// unchanged.
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

package provider

import (
	"net/http"
	"strconv"
	"time"

	"github.com/steadfeed/steadfeed/transport/internal/link"
)

// WebSub returns the Provider for a WebSub hub. The type of an event is its topic. The
// signature is an HMAC-SHA256: set Scheme for a hub that uses another algorithm, and to
// Unsigned{} for a subscription without a secret.
//
// confirm reports whether to confirm that the hub starts ("subscribe") or stops
// ("unsubscribe") sending a topic; lease is how long the subscription lasts, or 0 if the hub
// names no time. If it returns false, the hub's request is refused. With mode "denied", the
// hub reports that it denies the subscription, and the result of confirm is ignored. confirm
// may be called concurrently, and by anyone who knows the URL. If confirm is nil, nothing is
// confirmed.
// (https://www.w3.org/TR/websub/)
func WebSub(confirm func(mode, topic string, lease time.Duration) bool, secrets ...string) *Provider {
	p := &Provider{
		Name:    "websub",
		Retry:   Retry{Final: finalAfter(http.StatusGone)},
		Scheme:  Signature{Header: "X-Hub-Signature", Prefix: "sha256="},
		Payload: Payload{split: webSubEvent},
		Handshake: func(r *Request) (*Answer, bool) {
			if r.Method != http.MethodGet || confirm == nil {
				return nil, false
			}
			return webSubHandshake(r, confirm)
		},
	}
	return p.with(secrets)
}

func webSubHandshake(r *Request, confirm func(string, string, time.Duration) bool) (*Answer, bool) {
	q := query(r)
	mode, topic := q.Get("hub.mode"), q.Get("hub.topic")
	if topic == "" {
		return nil, false
	}
	seconds, _ := strconv.ParseUint(q.Get("hub.lease_seconds"), 10, 31)
	switch mode {
	case "denied":
		confirm(mode, topic, 0)
		return &Answer{Status: http.StatusOK}, true
	case "subscribe", "unsubscribe":
		if confirm(mode, topic, time.Duration(seconds)*time.Second) {
			return plain(q.Get("hub.challenge"), base64Chars), true
		}
		return &Answer{Status: http.StatusNotFound}, true
	}
	return nil, false
}

func webSubEvent(r *Request, payload []byte, events []Event) ([]Event, bool) {
	return append(events, Event{Type: link.Target(r.Header.Values("Link"), "self"), Data: payload}), true
}

package provider

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
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
	return append(events, Event{Type: selfLink(r.Header.Values("Link")), Data: payload}), true
}

// selfLink returns the target of the link with the relation self (RFC 8288), or "".
func selfLink(lines []string) string {
	for _, line := range lines {
		for {
			var target, params string
			var ok bool
			if _, line, ok = strings.Cut(line, "<"); !ok {
				break
			}
			if target, line, ok = strings.Cut(line, ">"); !ok {
				break
			}
			params, line = cutParams(line)
			if isSelf(params) {
				return target
			}
		}
	}
	return ""
}

// cutParams returns the parameters of a link and the links after it. A comma inside quotes
// does not end a link.
func cutParams(s string) (params, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// isSelf reports whether self is one of the relations of a link.
func isSelf(params string) bool {
	for _, param := range strings.Split(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") {
			relations := strings.Fields(strings.Trim(strings.TrimSpace(value), `"`))
			return slices.ContainsFunc(relations, func(r string) bool { return strings.EqualFold(r, "self") })
		}
	}
	return false
}

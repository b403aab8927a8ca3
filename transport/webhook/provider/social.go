package provider

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// X returns the Provider for X's Account Activity API. A secret is the consumer secret. The
// answer to the hourly challenge is signed with the first secret.
// (https://docs.x.com/x-api/webhooks/quickstart)
func X(secrets ...string) *Provider {
	p := &Provider{
		Name: "x", Deadline: 2500 * time.Millisecond,
		Answers: answer200(),
		Scheme: Signature{
			Header: "X-Twitter-Webhooks-Signature", Prefix: "sha256=", Encoding: Base64, body: onlyObject,
		},
		ID:      Source{Hash: true},
		Payload: Payload{Type: path(`@keys.#(%"*_event*")`)},
	}
	p.Greeting = p.xGreeting
	return p.with(secrets)
}

// onlyObject refuses a body that is not a JSON object. The challenge signs any token that a
// request names, so no token may be accepted as a body.
func onlyObject(r *Request) ([]byte, error) {
	if len(r.Body) == 0 || r.Body[0] != '{' {
		return nil, forged()
	}
	return r.Body, nil
}

func (p *Provider) xGreeting(r *Request) (*Answer, bool) {
	token := query(r).Get("crc_token")
	if r.Method != http.MethodGet || token == "" {
		return nil, false
	}
	secret := p.secret(0)
	if !harmless(token, base64Chars) || secret == "" {
		return &Answer{Status: http.StatusBadRequest}, true
	}
	return jsonAnswer(`{"response_token":"sha256=` + Base64.encode(macOf(secret, token)) + `"}`), true
}

func macOf(secret, text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Twitch returns the Provider for Twitch EventSub. The verification of a callback is answered.
// The revocation of a subscription is an event of type "revocation".
// (https://dev.twitch.tv/docs/eventsub/handling-webhook-events)
func Twitch(secrets ...string) *Provider {
	p := &Provider{
		Name: "twitch", Deadline: 4 * time.Second,
		Scheme: Signature{
			Header: "Twitch-Eventsub-Message-Signature", Prefix: "sha256=", ID: "Twitch-Eventsub-Message-Id",
			Timestamp: Timestamp{
				Header: "Twitch-Eventsub-Message-Timestamp", Layout: time.RFC3339Nano, Tolerance: 10 * time.Minute,
			},
			Signed: "{id}{ts}{body}",
		},
		Payload:   Payload{Type: path("subscription.type")},
		Challenge: twitchChallenge,
	}
	return p.with(secrets)
}

func twitchChallenge(r *Request, d *Delivery) *Answer {
	switch r.Header.Get("Twitch-Eventsub-Message-Type") { // the header is not signed, but the body is
	case "webhook_callback_verification":
		d.Events = nil
		return plain(decode.Field("challenge")(r.Body), "")
	case "revocation":
		if d.kind() != "" && decode.Field("event")(r.Body) == "" {
			d.Events[0].Type = "revocation"
		}
	}
	return nil
}

// Dropbox returns the Provider for Dropbox change notifications. The challenge is answered.
// (https://www.dropbox.com/developers/reference/webhooks)
func Dropbox(secrets ...string) *Provider {
	p := &Provider{
		Name: "dropbox", Deadline: 9 * time.Second,
		Answers: answer200(),
		Scheme:  Signature{Header: "X-Dropbox-Signature"},
		Greeting: func(r *Request) (*Answer, bool) {
			token := query(r).Get("challenge")
			if r.Method != http.MethodGet || token == "" {
				return nil, false
			}
			return plain(token, ""), true
		},
	}
	return p.with(secrets)
}

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
		Retry:   Retry{Final: after(http.StatusGone)},
		Scheme:  Signature{Header: "X-Hub-Signature", Prefix: "sha256="},
		Payload: Payload{split: webSubEvent},
		Greeting: func(r *Request) (*Answer, bool) {
			if r.Method != http.MethodGet || confirm == nil {
				return nil, false
			}
			return webSubGreeting(r, confirm)
		},
	}
	return p.with(secrets)
}

func webSubGreeting(r *Request, confirm func(string, string, time.Duration) bool) (*Answer, bool) {
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

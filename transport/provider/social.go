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

// X takes the Account Activity API; a secret is the consumer secret. The challenge that
// comes every hour is answered with the first of them.
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

// onlyObject refuses a body that is no JSON object. Anybody can have X's challenge sign a
// token for him, so what a token can be must never be taken for a body.
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

// Twitch takes EventSub. The verification of a callback is answered. That a subscription
// was revoked is an event of the type "revocation".
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
	switch r.Header.Get("Twitch-Eventsub-Message-Type") { // which is not signed, but the body is
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

// Dropbox takes notices that something has changed. The challenge is answered.
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

// WebSub takes what a hub distributes (https://www.w3.org/TR/websub/). An event is of the
// type that is its topic. The signature is that of SHA-256: for a hub that has another,
// Scheme is to be changed, and for a subscription without a secret it is Unsigned{}.
//
// confirm tells whether a hub is to start ("subscribe") or to end ("unsubscribe") to send
// a topic, for the given time; an intent that nobody has is refused. With "denied", the hub
// says that it does not; what confirm returns is then ignored. It may be called by anybody
// who knows the URL, and concurrently. nil confirms nothing.
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

// cutParams returns the parameters of a link and the links after it. A comma between
// quotes is no end.
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

// isSelf tells whether self is among the relations of a link, of which there may be
// several.
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

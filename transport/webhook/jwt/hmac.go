package jwt

import (
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const day = 24 * time.Hour

// Vonage returns the Provider for signed webhooks of Vonage that are POST requests. A secret is the
// signature secret of the account. Vonage may send an unsigned request after an error of its own,
// and repeats it after a 503: that is the answer to a request without a token.
//
// A token may be 25 hours old, because Vonage repeats a delivery for a day and does not document a
// new token.
// (https://developer.vonage.com/getting-started/concepts/webhooks)
func Vonage(secrets ...string) *provider.Provider {
	p := &provider.Provider{
		Name: "vonage", Deadline: 4500 * time.Millisecond,
		Answers: provider.Answers{Accepted: provider.Answer{Status: 200}, Malformed: provider.Answer{Status: 503}},
		Retry:   provider.Retry{Verbatim: true},
		Scheme: Scheme{
			Prefix: "Bearer ", Algorithms: []string{"HS256"}, Issuers: []string{"Vonage"},
			BodyHash: "payload_hash", MaxAge: day + time.Hour,
		},
		ID:      provider.Source{Hash: true},
		Payload: provider.Payload{ID: provider.Source{Path: []string{"message_uuid", "uuid", "request_id"}}, Type: provider.Source{Path: []string{"status", "type"}}},
	}
	return p.WithSecrets(secrets...)
}

// MessageBird returns the Provider for signed webhooks of MessageBird (Bird) that are POST
// requests. A secret is the signing key of the account. The token covers the body and the URL.
// (https://developers.messagebird.com/api/#verifying-http-requests)
func MessageBird(secrets ...string) *provider.Provider {
	p := &provider.Provider{
		Name: "messagebird",
		Scheme: Scheme{
			Header: "MessageBird-Signature-JWT", Algorithms: []string{"HS256", "HS384", "HS512"},
			Issuers: []string{"MessageBird"}, BodyHash: "payload_hash", URLHash: "url_hash",
		},
		ID:      provider.Source{Hash: true},
		Payload: provider.Payload{ID: provider.Source{Path: []string{"message.id", "id"}}, Type: provider.Source{Path: []string{"type"}}},
	}
	return p.WithSecrets(secrets...)
}

// LiveKit returns the Provider for LiveKit. apiKey is the id of the key, and a secret is its API
// secret.
// (https://docs.livekit.io/home/server/webhooks/)
func LiveKit(apiKey string, secrets ...string) *provider.Provider {
	id := provider.Source{Path: []string{"id"}}
	p := &provider.Provider{
		Name:    "livekit",
		Scheme:  Scheme{Algorithms: []string{"HS256"}, Issuers: []string{apiKey}, BodyHash: "sha256"},
		ID:      id,
		Payload: provider.Payload{ID: id, Type: provider.Source{Path: []string{"event"}}},
	}
	return p.WithSecrets(secrets...)
}

// Monday returns the Provider for the webhooks of a monday.com app. A secret is the app's signing
// secret; for events of the app's life cycle, it is the client secret. audience is the URL of the
// endpoint as the app is configured; if it is empty, aud is not checked. The challenge by which
// monday verifies an endpoint is answered. The body is not protected. Webhooks that were made with
// a personal token are not signed.
// (https://developer.monday.com/apps/docs/authorization-header)
func Monday(audience string, secrets ...string) *provider.Provider {
	s := Scheme{Algorithms: []string{"HS256"}}
	if audience != "" {
		s.Audiences = []string{audience}
	}
	p := &provider.Provider{
		Name:    "monday",
		Answers: provider.Answers{Accepted: provider.Answer{Status: 200}},
		Scheme:  s, Handshake: mondayChallenge,
		ID:      provider.Source{Path: []string{"event.triggerUuid"}},
		Payload: provider.Payload{ID: provider.Source{Path: []string{"event.triggerUuid"}}, Type: provider.Source{Path: []string{"event.type"}}},
	}
	return p.WithSecrets(secrets...)
}

// mondayChallenge echoes the challenge of a body that has nothing else.
func mondayChallenge(r *provider.Request) (*provider.Answer, bool) {
	if r.Method != "POST" {
		return nil, false
	}
	if r.Body == nil {
		return nil, true
	}
	var body map[string]string
	if json.Unmarshal(r.Body, &body) != nil || len(body) != 1 || body["challenge"] == "" {
		return nil, false
	}
	if !harmless(body["challenge"], 512) {
		return &provider.Answer{Status: 400}, true
	}
	return &provider.Answer{
		Status: 200,
		Header: map[string][]string{"Content-Type": {"application/json"}, "X-Content-Type-Options": {"nosniff"}},
		Body:   []byte(`{"challenge":"` + body["challenge"] + `"}`),
	}, true
}

// harmless reports whether text has 1 to limit letters, digits and characters of ._~-.
func harmless(text string, limit int) bool {
	for _, c := range text {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '~' || c == '-') {
			return false
		}
	}
	return text != "" && len(text) <= limit
}

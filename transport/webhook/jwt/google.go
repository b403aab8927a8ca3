package jwt

import (
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const googleMetadata = "https://accounts.google.com/.well-known/openid-configuration"

// google returns the scheme of an OpenID token of a Google service account.
func google(audience, email string) Scheme {
	return Scheme{
		Prefix: "Bearer ", Algorithms: []string{"RS256"}, Keys: &KeySet{URL: googleMetadata},
		Issuers: []string{"https://accounts.google.com", "accounts.google.com"}, Audiences: []string{audience},
		Claims: map[string][]string{"email": {email}, "email_verified": {"true"}},
	}
}

// GooglePubSub returns the Provider for a push subscription of Google Cloud Pub/Sub with
// authentication. audience is that of the subscription, by default its URL, and email is that of
// its service account. An event is the whole envelope.
//
// The body is not protected. If the subscription has a dead-letter topic, the body has the number
// of the attempt, and a repeated delivery is not recognized as a duplicate: key the work by
// Event.ID. With payload unwrapping, set ID and Payload.ID to the header
// X-Goog-Pubsub-Message-Id.
// (https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions)
func GooglePubSub(audience, email string) *provider.Provider {
	id := provider.Source{Path: []string{"message.messageId"}}
	return &provider.Provider{
		Name: "googlepubsub", Deadline: 9 * time.Second,
		Scheme:  google(audience, email),
		ID:      id,
		Payload: provider.Payload{ID: id, Type: provider.Source{Path: []string{"message.attributes.eventType", "message.attributes.ce-type"}}},
		Retry:   provider.Retry{Count: provider.Source{Path: []string{"deliveryAttempt"}}, From: 1},
	}
}

// GoogleChat returns the Provider for a Google Chat app. audience is what the app is configured
// with: its project number, or the URL of its endpoint. The body is not protected.
// (https://developers.google.com/workspace/chat/verify-requests-from-chat)
func GoogleChat(audience string) *provider.Provider {
	const sender = "chat@system.gserviceaccount.com"
	s := google(audience, sender)
	if audience != "" && strings.Trim(audience, "0123456789") == "" { // a project number: Chat signs the token itself
		s.Keys = &KeySet{URL: "https://www.googleapis.com/service_accounts/v1/jwk/" + sender}
		s.Issuers, s.Claims = []string{sender}, nil
	}
	return &provider.Provider{
		Name: "googlechat", Deadline: 25 * time.Second,
		Answers: provider.Answers{Accepted: provider.Answer{Status: 200}},
		Scheme:  s,
		ID:      provider.Source{Hash: true},
		Payload: provider.Payload{Type: provider.Source{Path: []string{"type"}}},
	}
}

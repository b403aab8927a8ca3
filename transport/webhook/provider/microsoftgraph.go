package provider

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// MicrosoftGraph returns the Provider for Microsoft Graph's change notifications. A secret is
// the clientState of the subscription, which every notification contains. The request that
// validates a subscription is answered.
//
// # Security
//
// The body is not protected, and the tokens of rich notifications are not verified.
// (https://learn.microsoft.com/graph/change-notifications-delivery-webhooks)
func MicrosoftGraph(secrets ...string) *Provider {
	p := &Provider{
		Name: "microsoftgraph", Deadline: 9 * time.Second,
		Scheme: clientState{},
		Payload: Payload{
			Items: "value",
			ID:    Source{Path: []string{"id"}},
			Type:  Source{Path: []string{"changeType", "lifecycleEvent"}},
		},
		Handshake: graphHandshake,
	}
	return p.with(secrets)
}

// printable are the characters of a validation token that are not markup.
const printable = " !#$%()*+,/:;=?@[]^`{|}"

func graphHandshake(r *Request) (*Answer, bool) {
	tokens, ok := query(r)["validationToken"]
	if !ok || r.Method != http.MethodPost || len(tokens) != 1 {
		return nil, false
	}
	return plain(tokens[0], printable), true
}

// clientState is the scheme of a secret in each element of "value".
type clientState struct{}

type clientStateVerifier struct{ secretSums }

func (clientState) traits() traits { return traits{} }

func (clientState) newVerifier(secrets []secret) (verifier, error) {
	h, err := newSecretSums(secrets)
	return &clientStateVerifier{h}, err
}

func (v *clientStateVerifier) precheck(*Request) error { return nil }

func (v *clientStateVerifier) verify(r *Request) (m match, err error) {
	err = malformed("no notification in the body")
	elements(r.Body, "value", func(item []byte) bool {
		m, err = v.find(decode.Field(item, "clientState"))
		return err == nil
	})
	if err != nil {
		return match{}, err
	}
	return m, unambiguous(r.Body)
}

func (v *clientStateVerifier) sign(r *Request, _ string) error {
	body, err := object(r.Body)
	if err != nil {
		return err
	}
	list, _ := body["value"].([]any)
	for _, item := range list {
		if o, ok := item.(map[string]any); ok {
			o["clientState"] = v.texts[0]
		}
	}
	r.Body, err = json.Marshal(body)
	return err
}

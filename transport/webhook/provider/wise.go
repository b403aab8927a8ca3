package provider

import "time"

// Wise returns the Provider for Wise. A secret is a public key as Wise's documentation shows it:
// that of the environment, production or sandbox. A private key in PEM makes Sign work.
// (https://docs.wise.com/guides/developer/webhooks/event-handling)
func Wise(secrets ...string) *Provider {
	p := &Provider{
		Name: "wise", Deadline: 4500 * time.Millisecond,
		Scheme:  Signature{Algorithm: RSASHA256, Header: "X-Signature-SHA256", Encoding: EncodingBase64},
		ID:      Source{Header: "X-Delivery-Id"},
		Payload: Payload{Type: path("event_type")},
	}
	return p.with(secrets)
}

package provider

import "time"

// Mux returns the Provider for Mux. A secret is the signing secret of the webhook. Mux repeats a
// delivery for a day; the body lists the attempts, so it differs each time.
// (https://www.mux.com/docs/core/verify-webhook-signatures)
func Mux(secrets ...string) *Provider {
	p := &Provider{
		Name: "mux", Deadline: 4500 * time.Millisecond,
		Scheme: Signature{
			Header: "Mux-Signature", Prefix: "v1=", Separator: ",",
			Timestamp: Timestamp{Prefix: "t="}, Signed: "{ts}.{body}",
		},
		ID:      path("id"),
		Payload: Payload{ID: path("id"), Type: path("type")},
	}
	return p.with(secrets)
}

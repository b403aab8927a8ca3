package provider

// Cloudflare returns the Provider for the generic webhooks of Cloudflare Notifications. A secret
// is that of the destination. The type of an event is alert_type. Deliveries have no id. The body
// is not protected.
// (https://developers.cloudflare.com/notifications/get-started/configure-webhooks/)
func Cloudflare(secrets ...string) *Provider {
	p := &Provider{
		Name:    "cloudflare",
		Answers: answer200(),
		Scheme:  Token{Header: "Cf-Webhook-Auth"},
		Payload: Payload{Type: path("alert_type")},
	}
	return p.with(secrets)
}

// CloudflareStream returns the Provider for Cloudflare Stream. A secret is that in the answer of
// the API call that subscribes. The type of an event is the state of the video, such as "ready".
// (https://developers.cloudflare.com/stream/manage-video-library/using-webhooks/)
func CloudflareStream(secrets ...string) *Provider {
	p := &Provider{
		Name:    "cloudflarestream",
		Answers: answer200(),
		Scheme: Signature{
			Header: "Webhook-Signature", Prefix: "sig1=", Separator: ",",
			Timestamp: Timestamp{Prefix: "time="}, Signed: "{ts}.{body}",
		},
		ID:      Source{Hash: true},
		Payload: Payload{Type: path("status.state")},
	}
	return p.with(secrets)
}

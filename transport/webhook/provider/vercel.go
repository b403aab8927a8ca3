package provider

// Vercel returns the Provider for Vercel. A secret is that of the webhook, or the client secret of
// an integration. Vercel signs with HMAC-SHA1 only, and repeats a delivery for a day.
// (https://vercel.com/docs/webhooks/webhooks-api)
func Vercel(secrets ...string) *Provider {
	p := &Provider{
		Name:    "vercel",
		Answers: answer200(),
		Scheme:  Signature{Algorithm: HMACSHA1, Header: "X-Vercel-Signature"},
		ID:      path("id"),
		Payload: Payload{ID: path("id"), Type: path("type")},
	}
	return p.with(secrets)
}

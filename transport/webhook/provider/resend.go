package provider

// Resend returns the Provider for Resend, which sends with Svix. A secret is the signing secret of
// the webhook, "whsec_" and Base64.
// (https://resend.com/docs/webhooks/verify-webhooks-requests)
func Resend(secrets ...string) *Provider {
	p := Svix(secrets...)
	p.Name = "resend"
	return p
}

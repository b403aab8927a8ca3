package provider

// Clerk returns the Provider for Clerk, which sends with Svix. A secret is the signing secret of
// the endpoint, "whsec_" and Base64.
// (https://clerk.com/docs/guides/development/webhooks/overview)
func Clerk(secrets ...string) *Provider {
	p := Svix(secrets...)
	p.Name = "clerk"
	return p
}

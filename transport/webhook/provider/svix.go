package provider

// Svix returns the Provider for any sender that uses Svix, under either name of its headers.
// The secrets are those of StandardWebhooks.
// (https://docs.svix.com/receiving/verifying-payloads/how-manual)
func Svix(secrets ...string) *Provider {
	p := StandardWebhooks(secrets...)
	p.Name, p.Scheme = "svix", newStandardScheme("Svix", "Webhook")
	return p
}

// Package sender posts webhooks to a receiver as a provider of package transport/webhook/provider would:
// signed, and retried on the provider's schedule. A [Client] posts scripts of package mock, or
// single deliveries, which can also be forged, old, compressed or slow.
package sender

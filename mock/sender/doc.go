// Package sender posts webhooks to a receiver as a provider of package transport/webhook/provider
// would: signed, and retried on the provider's schedule. A [Client] posts the script of a
// mock.Feed, or single deliveries. To forge a delivery, use a Client with another secret. A [Balancer]
// spreads the deliveries over several receivers.
package sender

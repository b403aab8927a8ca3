// Package webhook receives webhooks: a [Receiver] turns the signed POST requests of a sender into
// the events of a feed, and answers each once its events are acknowledged. Package provider
// describes the senders.
package webhook

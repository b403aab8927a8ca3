// Package provider describes the senders of webhooks as data: how each of them signs its
// deliveries, names them, groups events in one, checks that a receiver is there, and what
// it makes of an answer. Package transport receives with it, package mock sends with it.
package provider

// Package provider describes the senders of webhooks as data: how each of them signs its
// deliveries, names them, groups events in one, checks that a receiver is there, and what
// it makes of an answer. Package transport receives with it, package mock sends with it.
//
// # Presets
//
// A preset is a function that takes the secrets and returns a [Provider]. Of several
// secrets each is tried, which is what a rotation needs; [Provider.SetSecrets] replaces
// them while the provider is in use. The deadline is the sender's less a margin.
//
//	preset            proof                          delivery id                   deadline
//	Adyen             HMAC of some fields of each    of each item                       9 s
//	Alertmanager      Basic or bearer                -                                 10 s
//	AmazonSNS         RSA, certificate               MessageId, signed                 13 s
//	AzureEventGrid    token in the URL               of each event                     25 s
//	Bitbucket         HMAC of the body               X-Request-UUID                     9 s
//	CloudEvents       bearer                         source and id of each event       10 s
//	Discord           Ed25519, time                  id, or hash of the body, signed  2.5 s
//	Dropbox           HMAC of the body               -                                  9 s
//	GitHub            HMAC of the body               X-GitHub-Delivery                  9 s
//	GitLab            Standard Webhooks, or token    webhook-id, or Idempotency-Key     9 s
//	Gitea             HMAC of the body               X-Gitea-Delivery                 4.5 s
//	HubSpot           HMAC of body and URL, time     hash of the body, signed         4.5 s
//	Linear            HMAC of the body, time in it   hash of the body, signed         4.5 s
//	Mailgun           HMAC of time and token only    the token, signed                  9 s
//	Meta              HMAC of the body               hash of the body, signed         4.5 s
//	MicrosoftGraph    token in the body              -                                  9 s
//	Paddle            HMAC, time                     event_id, signed                 4.5 s
//	PagerDuty         HMAC of the body               event.id, signed                  10 s
//	SendGrid          ECDSA, time                    sg_event_id of each event         10 s
//	Shopify           HMAC of the body               X-Shopify-Webhook-Id               4 s
//	Slack             HMAC, time                     event_id, signed                 2.5 s
//	Square            HMAC of body and URL           event_id, signed                   9 s
//	StandardWebhooks  HMAC or Ed25519, id, time      webhook-id, signed                13 s
//	Stripe            HMAC, time                     id, signed                        15 s
//	Svix              as StandardWebhooks            svix-id, signed                   13 s
//	Twilio            HMAC of form and URL           I-Twilio-Idempotency-Token        13 s
//	Twitch            HMAC, id, time                 the message's id, signed           4 s
//	Typeform          HMAC of the body               event_id, signed                  10 s
//	WebSub            HMAC of the body               -                                 10 s
//	X                 HMAC of the body               hash of the body, signed         2.5 s
//	Zendesk           HMAC, time                     X-Zendesk-Webhook-Invocation-Id   10 s
//	Zoom              HMAC, time                     hash of the body, signed         2.5 s
//
// HMAC is that of SHA-256 unless another is named. A time, where there is one, may be off
// by five minutes; for Linear by one, for Twitch by ten, for Discord by 15. Senders that repeat
// a delivery with its first signature, or do not say that they sign it anew, have longer: Zoom
// two hours, Mailgun and SNS a day, SendGrid 25 hours. Without a time
// a signature is good for ever, and without an id that is signed a delivery can be sent
// again under another: what a receiver remembers of deliveries then has to include the
// body, as transport.Webhook's does.
//
// Any other sender is a Provider with a [Signature], which says in a few fields what is
// signed and how, or with a [Custom] scheme. One that is nearly a preset is that preset with
// other fields: the Scheme of a preset is a value, such as a Signature for Twilio.
//
// # Answers
//
// Any 2xx ends a delivery, also one that was settled before. Most senders take everything
// else for a failure, and repeat the delivery for hours. What is busy, late or refused by the
// consumer is 503 with a Retry-After, a proof that does not match 401, what cannot be read
// 400, a body above Webhook.MaxBody 413, and a path of no provider 404. These senders do not
// repeat a delivery after some of them:
//
//	preset            gives up after                        so a wrong proof is
//	Alertmanager      any 4xx, until the group's next turn  503
//	AmazonSNS         4xx but 429                           503
//	AzureEventGrid    400, 401, 403, 413                    503, also if it is missing
//	Bitbucket         4xx; else repeats twice, at once      401
//	CloudEvents       400, 401, 403, 410, 413, 415          503, also if it is missing
//	Discord           -                                     401, which it tests
//	GitHub            the first attempt                     401
//	Mailgun           406                                   401
//	StandardWebhooks  410, which disables the endpoint      401
//	Svix              410, likewise                         401
//	Typeform          404 and 410, which disable it         401
//	WebSub            410                                   401
//	Zendesk           all but 409, 429 and 503              503
//
// [Provider.Answers] changes an answer; [Retry] says what a sender does.
//
// Slack, Discord, Zoom, X, Meta and Microsoft Graph disable a receiver that is often late, or
// hold back its notifications. If events take longer than the deadline, use
// transport.AckQueued, or acknowledge an event once it is stored.
//
// # Verification
//
// What is verified are the bytes that came, before anything is parsed; the exceptions are
// senders whose signature is inside of the body. A header that decides occurs exactly once,
// and what is in it has one way of being written, or is refused. Nothing that a request says chooses the
// key, the algorithm or an address to fetch something from. Secrets are compared in
// constant time. A check with a public key is done by as many goroutines as there are
// processors, and others wait, as long as somebody waits for their answers.
//
// # Handshakes
//
// Meta, WebSub, X, Dropbox and CloudEvents ask before they send, see [Provider.Greet];
// Slack, Zoom, Discord, Twitch, Microsoft Graph, Event Grid and SNS do so with a delivery
// that has no event and an Answer of its own. What is sent back of a request is short, of
// harmless characters, and text/plain.
//
// # Errors
//
// Errors say what is wrong with a request, and never what would have been right. One that
// has a method Forged() bool, which returns true, is a proof that does not match. A time
// that is too far off is the same error: whoever tries shall not learn which it was, and the
// text names all that can be the reason. One that has a method Busy() bool, which returns
// true, is a request that is to be sent again.
package provider

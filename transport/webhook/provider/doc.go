// Package provider describes webhook senders as data: how each one signs its deliveries,
// identifies them, groups events, verifies an endpoint, and reacts to an answer. Package
// webhook uses it to receive, package sender to send.
//
// # Presets
//
// A preset is a function that takes the secrets and returns a [Provider]. Every secret is
// tried, so a rotation passes the old one and the new one; [Provider.SetSecrets] replaces them
// while the provider is in use. The deadline is the sender's, less a margin.
//
//	preset            authentication                 delivery id                   deadline
//	Adyen             HMAC of some fields of each    id of each item                    9 s
//	Alertmanager      Basic or bearer                -                                 10 s
//	AmazonSNS         RSA, certificate               MessageId, signed                 13 s
//	AzureEventGrid    token in the URL               id of each event                  25 s
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
//	MicrosoftGraph    token in the body              id of each event                   9 s
//	Paddle            HMAC, time                     event_id, signed                 4.5 s
//	PagerDuty         HMAC of the body               event.id, signed                  10 s
//	SendGrid          ECDSA, time                    sg_event_id of each event         10 s
//	Shopify           HMAC of the body               X-Shopify-Webhook-Id               4 s
//	Slack             HMAC, time                     event_id, signed                 2.5 s
//	Square            HMAC of body and URL           event_id, signed                   9 s
//	StandardWebhooks  HMAC or Ed25519, id, time      webhook-id, signed                13 s
//	Stripe            HMAC, time                     id, signed                        15 s
//	Svix              as StandardWebhooks            svix-id, signed                   13 s
//	Twilio            HMAC-SHA1 of form and URL      I-Twilio-Idempotency-Token        13 s
//	Twitch            HMAC, id, time                 the message's id, signed           4 s
//	Typeform          HMAC of the body               event_id, signed                  10 s
//	WebSub            HMAC of the body               -                                 10 s
//	X                 HMAC of the body               hash of the body, signed         2.5 s
//	Zendesk           HMAC, time                     X-Zendesk-Webhook-Invocation-Id   10 s
//	Zoom              HMAC, time                     hash of the body, signed         2.5 s
//
// HMAC means HMAC-SHA256 unless another hash is named. "signed" means that the delivery id is
// covered by the signature.
//
// A time may be off by five minutes. The exceptions are Linear, one minute; Twitch, ten; and
// Discord, 15. Senders that repeat a delivery with its first signature, or do not document a
// new one, have longer: Zoom two hours, Mailgun and SNS a day, SendGrid 25 hours.
//
// Without a time, a signature is valid permanently. Without a signed id, a captured delivery
// can be sent again under another id. The key by which a receiver recognizes duplicates must
// therefore include the body, as that of webhook.Receiver does.
//
// Any other sender is a Provider with a [Signature], which describes in a few fields what is
// signed and how, or with a [Custom] scheme. If a sender is nearly a preset, change the fields
// of the preset. The Scheme of a preset is a value: that of Twilio, for example, is a
// Signature.
//
// # Answers
//
// Any 2xx completes a delivery. A delivery that was settled before is answered with a 2xx, too. Most
// senders treat any other status as a failure, and repeat the delivery for hours. The answer is 503 with a
// Retry-After to a delivery that is late, that there is no room for, or that the consumer
// refuses; 401 to one that does not match; 400 to a malformed one; 413 to a body above
// Receiver.MaxBody; and 404 to a path without a provider. These senders do not repeat a
// delivery after some answers:
//
//	preset            gives up after                        a mismatch is answered
//	Alertmanager      any 4xx, until the group's next turn  503, also if missing
//	AmazonSNS         4xx except 429                        503
//	AzureEventGrid    400, 401, 403, 413                    503, also if missing
//	Bitbucket         4xx; else repeats twice, at once      401
//	CloudEvents       400, 401, 403, 410, 413, 415          503, also if missing
//	Discord           -                                     401, which Discord tests
//	GitHub            the first attempt                     401
//	Mailgun           406                                   401
//	StandardWebhooks  410, which disables the endpoint      401
//	Svix              410, likewise                         401
//	Typeform          404 and 410, which disable it         401
//	WebSub            410                                   401
//	Zendesk           all except 409, 429 and 503           503
//
// [Provider.Answers] changes an answer; [Retry] documents how a sender reacts.
//
// Slack, Discord, Zoom, X, Meta and Microsoft Graph disable a receiver that is often late, or
// delay its notifications. If events take longer than the deadline, use webhook.AckOnEnqueue,
// or acknowledge an event once it is stored.
//
// # Verification
//
// The bytes that were received are verified before anything is parsed, except where the
// signature or token is inside the body, or the signature covers the parsed fields of a form,
// as Twilio's does. A header that verification depends on must occur exactly once, in a single
// spelling. A request never chooses the key, the algorithm or the host from which a
// certificate is fetched. Secrets are compared in constant time. At most as many public-key
// checks run at once as there are processors; others wait until the context or the deadline of
// their request ends.
//
// # Handshakes
//
// Some senders verify an endpoint before they send. Meta, WebSub, X, Dropbox and CloudEvents
// use a GET or an OPTIONS request, and Bitbucket and Microsoft Graph an unsigned POST: see
// Handshake in [Provider]. Slack, Zoom, Discord, Twitch, Event Grid and SNS use a verified
// delivery, which has no event and which Respond answers. Event Grid also uses the handshake
// of CloudEvents. An answer echoes only short values of harmless characters, as text/plain or
// in a JSON string.
//
// # Errors
//
// An error describes what is wrong with a request, never what would be right. An error with a
// method Forged() bool that returns true means that the signature or the token does not match,
// or that the time is too far off: these are one error, so that a forger cannot tell which
// check failed, and its text lists every possible cause. An error with a method Busy() bool
// that returns true means that the request should be sent again.
package provider

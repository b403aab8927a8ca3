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
//	preset            authentication                  delivery id                     deadline
//	Adyen             HMAC of some fields of each     id of each item                    9 s
//	Alertmanager      Basic or bearer                 -                                 10 s
//	AmazonSNS         RSA, certificate                MessageId, signed                 13 s
//	Asana             HMAC of the body                hash of the body, signed           9 s
//	Auth0             token in Authorization          id, or log_id of each log         10 s
//	AzureEventGrid    token in the URL                topic and id of each event        25 s
//	Bitbucket         HMAC of the body                X-Request-UUID                     9 s
//	Box               HMAC of the body, time          id, signed                        27 s
//	Buildkite         HMAC, time, or token            -                                 10 s
//	Calendly          HMAC, time                      hash of the body, signed          10 s
//	CircleCI          HMAC of the body                id, signed                         9 s
//	Clerk             as Svix                         svix-id, signed                   13 s
//	CloudEvents       bearer                          source and id of each event       10 s
//	Cloudflare        token                           -                                 10 s
//	CloudflareStream  HMAC, time                      hash of the body, signed          10 s
//	Discord           Ed25519, time                   id, or hash of the body, signed  2.5 s
//	DocuSign          HMAC of the body, several keys  hash of the body, signed          90 s
//	Dropbox           HMAC of the body                -                                  9 s
//	Figma             token in the body               hash of the body                  10 s
//	GitHub            HMAC of the body                X-GitHub-Delivery                  9 s
//	GitLab            Standard Webhooks, or token     webhook-id, or Idempotency-Key     9 s
//	Gitea             HMAC of the body                X-Gitea-Delivery                 4.5 s
//	GoCardless        HMAC of the body                webhook_id, or hash, signed        9 s
//	HubSpot           HMAC of body and URL, time      hash of the body, signed         4.5 s
//	Intercom          HMAC-SHA1 of the body           id, signed                       4.5 s
//	Jira              HMAC of the body                X-Atlassian-Webhook-Identifier    18 s
//	Kick              RSA, id, time; key is fetched   the message's id, signed         4.5 s
//	LINE              HMAC of the body                ids of the events, signed        1.5 s
//	LemonSqueezy      HMAC of the body                hash of the body, signed          10 s
//	Linear            HMAC of the body, time in it    hash of the body, signed         4.5 s
//	Mailgun           HMAC of time and token only     the token, signed                  9 s
//	Mandrill          HMAC-SHA1 of form and URL       hash of the body, signed          10 s
//	Meta              HMAC of the body                hash of the body, signed         4.5 s
//	MicrosoftGraph    token in the body               id of each event                   9 s
//	Mux               HMAC, time                      id, signed                       4.5 s
//	Notion            HMAC of the body                id, signed                        10 s
//	Okta              token in Authorization          eventId                          2.5 s
//	Paddle            HMAC, time                      event_id, signed                 4.5 s
//	PagerDuty         HMAC of the body                event.id, signed                  10 s
//	PayPal            RSA of id, time and CRC         transmission id, signed           10 s
//	Razorpay          HMAC of the body                X-Razorpay-Event-Id              4.5 s
//	Resend            as Svix                         svix-id, signed                   13 s
//	SendGrid          ECDSA, time                     sg_event_id of each event         10 s
//	Sentry            HMAC of the body                Request-ID                       0.9 s
//	Shopify           HMAC of the body                X-Shopify-Webhook-Id               4 s
//	Slack             HMAC, time                      event_id, signed                 2.5 s
//	Square            HMAC of body and URL            event_id, signed                   9 s
//	StandardWebhooks  HMAC or Ed25519, id, time       webhook-id, signed                13 s
//	Stripe            HMAC, time                      id, signed                        15 s
//	Svix              as StandardWebhooks             svix-id, signed                   13 s
//	Telegram          token                           update_id                         10 s
//	TerraformCloud    HMAC-SHA512 of the body         hash of the body, signed          10 s
//	Trello            HMAC-SHA1 of body and URL       action.id, signed                 10 s
//	Twilio            HMAC-SHA1 of form and URL       I-Twilio-Idempotency-Token        13 s
//	Twitch            HMAC, id, time                  the message's id, signed           4 s
//	Typeform          HMAC of the body                event_id, signed                  10 s
//	Vercel            HMAC-SHA1 of the body           id, signed                        10 s
//	WebSub            HMAC of the body                -                                 10 s
//	Wise              RSA of the body                 X-Delivery-Id                    4.5 s
//	WooCommerce       HMAC of the body                X-WC-Webhook-Delivery-ID          54 s
//	X                 HMAC of the body                hash of the body, signed         2.5 s
//	Xero              HMAC of the body                sequence of the events, signed   4.5 s
//	Zendesk           HMAC, time                      X-Zendesk-Webhook-Invocation-Id   10 s
//	Zoom              HMAC, time                      hash of the body, signed         2.5 s
//
// Senders that sign with a JWT or a JWS have presets in a module of their own, package
// transport/webhook/jwt: Apple, Bot Framework, Event Grid with Entra ID, Google Chat, Google
// Pub/Sub, LiveKit, MessageBird, Microsoft Graph with resource data, monday, Plaid and Vonage.
//
// HMAC means HMAC-SHA256 unless another hash is named. "signed" means that the delivery id is
// covered by the signature.
//
// A time may be off by five minutes. The exceptions are Linear, one minute; Calendly, three; Box
// and Twitch, ten; Discord, 15; and the senders that repeat a signature, see Retries.
//
// Without a time, a signature is valid permanently. Without a signed id, a captured delivery
// can be sent again under another id. The key by which a receiver recognizes duplicates must
// therefore include the body, as that of webhook.Receiver does.
//
// Any other sender is a Provider with a [Signature], which describes in a few fields what is
// signed and how, or with a [Custom] scheme, for which [Keys] fetches and caches public keys.
//
// # Derived presets
//
// If a sender is nearly a preset, change the fields of the preset before it is in use. Its Scheme
// is a value: copy it, change the copy, and set it.
//
//	p := provider.Mux(secret)
//	s := p.Scheme.(provider.Signature)
//	s.Header, s.Prefix = "Elevenlabs-Signature", "v0="
//	p.Name, p.Scheme = "elevenlabs", s
//
// The Scheme of most presets is a Signature, and that of Okta, Auth0 and Cloudflare a [Token]. A
// Signature from a preset keeps what that sender's secrets must look like: derive from a sender
// whose secrets have the same form. Change Answers, Retry, ID, Payload and Respond too where the
// sender differs.
//
// # Secrets
//
// A secret is given as its sender shows it. What is decoded depends on the preset:
//
//	form                       presets
//	"whsec_" and Base64        StandardWebhooks, Svix, Clerk, Resend; signing tokens of GitLab
//	"whsec_", all of it a key  Stripe
//	hex                        Adyen, Discord
//	Base64                     SendGrid; Wise, also in several lines
//	"name:password"            Alertmanager, or a bearer token
//	value of Authorization     Okta, Auth0, with "Bearer " if the sender adds it
//	text                       all others, also if it looks like hex or Base64
//
// StandardWebhooks also takes "v1,whsec_" and Base64, as Supabase shows it. Where a sender of
// Standard Webhooks shows a plain text, such as Polar, a secret is "whsec_" and the Base64 of that
// text. Validate and SetSecrets refuse a secret of a wrong form, and credentials of other kinds as
// far as their prefix reveals them, such as an API key. Their error names the right form.
//
// Notion and Asana send their secret in a handshake. See [Notion] and [Asana].
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
//	Clerk             410, as Svix                          401
//	CloudEvents       400, 401, 403, 410, 413, 415          503, also if missing
//	Discord           -                                     401, which Discord tests
//	Figma             400, which stops the webhook          503, also if missing
//	GitHub            the first attempt                     401
//	GoCardless        -                                     498, which GoCardless requires
//	Jira              all except 408, 409, 425, 429, 5xx    503, also if missing
//	Mailgun           406                                   401
//	Okta              4xx; else repeats once                503, also if missing
//	Resend            410, as Svix                          401
//	StandardWebhooks  410, which disables the endpoint      401
//	Svix              410, likewise                         401
//	Trello            410, which deletes the webhook        401
//	Typeform          404 and 410, which disable it         401
//	WebSub            410                                   401
//	WooCommerce       the first attempt                     401
//	Xero              -                                     401, which Xero tests
//	Zendesk           all except 409, 429 and 503           503
//
// [Provider.Answers] changes an answer; [Retry] documents how a sender reacts.
//
// # Slow receivers
//
// These senders punish a receiver that often answers late. If events take longer than the
// deadline, use webhook.AckOnEnqueue, or acknowledge an event once it is stored.
//
//	preset                          after late answers or failures
//	Calendly, Razorpay, Xero        disable the webhook after a day of failures
//	Discord, Meta, Slack, X, Zoom   disable it
//	Intercom                        lowers its priority above 500 ms, suspends it after a week of failures
//	LINE                            may stop sending
//	MicrosoftGraph                  delays notifications, then drops them
//	Sentry                          disables it after 1,000 timeouts in a day
//	Shopify                         deletes it after 8 retries
//	Twitch                          revokes it
//	WooCommerce                     disables it after more than 5 failures in a row
//
// # Retries
//
// If a sender repeats a delivery with its first time and signature, these must be accepted for as
// long as it repeats. [Retry] Verbatim marks such senders, and package sender repeats accordingly.
//
//	time on a retry         presets
//	the first one           AmazonSNS, Mailgun: a day
//	not documented          Discord: 15 min, Kick: 1 h, PayPal: 73 h, SendGrid: 25 h, Zoom: 2 h, as if it
//	                        were the first one
//	a new one               Box, Calendly, CloudflareStream, Linear, StandardWebhooks, Stripe, Svix and
//	                        the presets that use Svix
//	a new one, as we infer  Buildkite, HubSpot, Mux, Paddle, Slack, Twitch, Zendesk
//
// We infer a new one where the sender advises or enforces a tolerance that its retries exceed.
// Without a time, a retry has the same signature if its body is the same. The bodies of DocuSign,
// Intercom, LINE, Mux and Notion differ, because they number or mark the attempts; the delivery id
// does not.
//
// # Tenants
//
// If the senders of one kind have different secrets, [Provider.Tenants] looks them up by request. See
// [Tenants].
//
// # Other requests
//
// A delivery is a POST with a body that is not compressed, from any address, unless Methods, Gzip,
// Networks or ClientNames of [Provider] change that. Zendesk, for example, sends the method that its
// user chooses. Gzip is set to what the sender signs: the compressed body, or the body before.
//
// # Ids of events
//
// In deliveries of several events, those of AzureEventGrid, Auth0, CloudEvents, GoCardless, LINE, Okta
// and SendGrid have ids that are unique among all deliveries, see Unique in [Payload]: an event that
// comes again in another delivery is a duplicate.
//
// # Verification
//
// The bytes that were received are verified before anything is parsed, except where the
// signature or token is inside the body, the signature covers the parsed fields of a form, as
// Twilio's does, Tenants are named in the body, or Gzip is GzipPlain. A header that verification depends on must occur exactly once, in a single
// spelling. A request never chooses the key, the algorithm or the host from which a
// certificate is fetched. Secrets are compared in constant time. At most as many public-key
// checks run at once as there are processors; others wait until the context or the deadline of
// their request ends.
//
// # Handshakes
//
// Some senders verify an endpoint before they send:
//
//	request                       presets
//	GET                           Dropbox, Meta, Okta, WebSub, X
//	HEAD                          Intercom, Mandrill, Trello
//	OPTIONS                       AzureEventGrid, CloudEvents
//	unsigned POST, by its header  Asana, Bitbucket
//	unsigned POST, by its URL     MicrosoftGraph
//	unsigned POST, by its body    Mandrill, Notion, WooCommerce
//	verified POST                 AmazonSNS, AzureEventGrid, Discord, Figma, LINE, Slack, TerraformCloud,
//	                              Twitch, Xero, Zoom
//
// A verified one is a delivery without an event, which Respond answers. The others are answered by
// Handshake in [Provider]. A mux pattern with a method, such as "POST /hooks", excludes GET, HEAD
// and OPTIONS. Where a request is known only by its body, Handshake first asks for the body: see the
// example of Provider. An answer echoes only short values of harmless characters, as text/plain, in
// a JSON string, or in a header.
//
// # Errors
//
// An error describes what is wrong with a request, never what would be right. An error with a
// method Forged() bool that returns true means that the signature or the token does not match,
// or that the time is too far off: these are one error, so that a forger cannot tell which
// check failed, and its text lists every possible cause. An error with a method Busy() bool
// that returns true means that the request should be sent again.
package provider

// Package jwt receives webhooks whose senders authenticate with a JSON Web Token (RFC 7519) or a
// JSON Web Signature (RFC 7515). A preset is a [provider.Provider], for webhook.Receiver:
//
//	hook := &webhook.Receiver{Provider: jwt.GooglePubSub("https://example.com/push", "push@p.iam.gserviceaccount.com")}
//	mux.Handle("/push", hook)
//	sub, err := client.Subscribe(ctx, hook, nil)
//
// It is a module of its own, because it uses github.com/go-jose/go-jose/v4 for the cryptography
// and the formats.
//
// # Presets
//
//	preset                 token                          keys                        the token covers
//	AppStoreNotifications  signedPayload in the body      certificates, Apple's root  everything
//	AzureEventGrid         Authorization                  Entra ID                    -
//	BotFramework           Authorization                  Bot Connector               serviceUrl
//	GoogleChat             Authorization                  Google                      -
//	GooglePubSub           Authorization                  Google                      -
//	LiveKit                Authorization, without Bearer  API secret                  the body
//	MessageBird            MessageBird-Signature-JWT      signing key                 the body, the URL
//	MicrosoftGraph         validationTokens in the body   Entra ID                    the tenants
//	Monday                 Authorization, without Bearer  signing secret              -
//	Plaid                  Plaid-Verification             Plaid's API                 the body
//	Vonage                 Authorization                  signature secret            the body
//
// Any other sender is a Provider with a [Scheme]. If a sender is nearly a preset, copy the Scheme
// of the preset, change the copy, and set it:
//
//	s := p.Scheme.(jwt.Scheme) // of any preset but AppStoreNotifications and MicrosoftGraph
//	s.Keys = &jwt.KeySet{URL: url, Client: client}
//	p.Scheme = s
//
// # Delivery
//
// A token that does not match is answered with Answers.Forged, by default 401. A delivery whose
// key cannot be known for now, because the key server is down or slow, is answered with
// Answers.Busy, by default 503, so that the sender repeats it. [KeySet] describes when keys are
// fetched.
//
// # Security
//
// A token is accepted only with an algorithm that is configured and a key that is for it. A token
// that does not cover the body authenticates the sender, not the body: a party that holds one can
// send other bodies until it expires. The tokens of Entra ID name the tenant and the
// application that asked for them; the presets require those of the sender.
//
// Errors never quote a token, a claim or a key. As many signatures are verified at once as there
// are processors.
//
// # Testing
//
// With a private key in PEM as its secret, a preset with public keys fetches nothing, and
// Provider.Sign and mock/sender make its deliveries.
//
// To test with keys that are fetched, give the preset a [KeySet] whose Client is that of a
// mock.Server: that answers https under every host name.
package jwt

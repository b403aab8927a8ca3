package provider_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const key = "c0ffee00c0ffee00" // text, and hex and Base64 as well

// Keys of senders whose keys have a form.
const (
	stripeKey = "whsec_" + key
	adyenKey  = key + key + key + key
)

// at is when the samples are sent.
var at = time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC)

const (
	seconds = "1741064767"
	millis  = "1741064767000"
	rfc3339 = "2025-03-04T05:06:07Z"
)

// A sample is a delivery of one sender, and how this sender signs it: written down here
// once more, from its documentation, with nothing of the package under test.
type sample struct {
	name   string
	make   func(secrets ...string) *provider.Provider
	secret string // key
	url    string
	header map[string]string // that the sender sends anyway
	id     string            // of the delivery, in the header
	body   string
	sign   func(body string) map[string]string // headers

	wantID string
	signed bool
	proof  provider.Proof // ProofBody
	events string         // "id type", one in each line
}

func (s *sample) request(header map[string]string) *provider.Request {
	r := &provider.Request{Method: "POST", URL: s.url, Header: http.Header{}, Body: []byte(s.body), Time: at}
	r.Header.Set("Content-Type", "application/json")
	for _, h := range []map[string]string{s.header, header} {
		for name, value := range h {
			r.Header.Set(name, value)
		}
	}
	return r
}

func (s *sample) provider() *provider.Provider { return s.make(s.secret) }

func describe(events []provider.Event) string {
	var lines []string
	for _, e := range events {
		lines = append(lines, e.ID+" "+e.Type)
	}
	return strings.Join(lines, "\n")
}

func mac(h func() hash.Hash, secret, text string) []byte {
	m := hmac.New(h, []byte(secret))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexMAC(text string) string { return hex.EncodeToString(mac(sha256.New, key, text)) }
func b64MAC(text string) string { return base64.StdEncoding.EncodeToString(mac(sha256.New, key, text)) }

func hashOf(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// standardMAC is the HMAC with the key behind whsec_.
func standardMAC(text string) string {
	raw, _ := base64.StdEncoding.DecodeString(key)
	return base64.StdEncoding.EncodeToString(mac(sha256.New, string(raw), text))
}

// Private keys, made once.
var (
	edKey  = ed25519.NewKeyFromSeed(make([]byte, 32))
	ecKey  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func privatePEM(k any) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(k))}))
}

func onHeader(name, prefix string, sum func(string) string) func(string) map[string]string {
	return func(body string) map[string]string { return map[string]string{name: prefix + sum(body)} }
}

const topic = "arn:aws:sns:us-east-1:123456789012:orders"

func snsSample() sample {
	text := "Message\nhello\nMessageId\nm-1\nTimestamp\n2025-03-04T05:06:07.000Z\nTopicArn\n" + topic + "\nType\nNotification\n"
	sum := sha256.Sum256([]byte(text))
	signature := base64.StdEncoding.EncodeToString(must(rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA256, sum[:])))
	return sample{
		name: "sns", secret: privatePEM(rsaKey()), id: "m-1", proof: provider.ProofMetadata,
		make: func(secrets ...string) *provider.Provider {
			p := provider.AmazonSNS(nil, topic)
			if err := p.SetSecrets(secrets...); err != nil {
				panic(err)
			}
			return p
		},
		header: map[string]string{"x-amz-sns-message-type": "Notification", "Content-Type": "text/plain; charset=UTF-8"},
		body: `{"Type":"Notification","MessageId":"m-1","TopicArn":"` + topic + `","Message":"hello",` +
			`"Timestamp":"2025-03-04T05:06:07.000Z","SignatureVersion":"2","Signature":"` + signature + `"}`,
		wantID: "m-1", signed: true, events: "m-1 Notification",
	}
}

func discordSample() sample {
	return sample{
		name: "discord", make: provider.Discord, secret: privatePEM(edKey),
		body: `{"id":"i1","type":1,"event":{"type":"ENTITLEMENT_CREATE"}}`, wantID: "i1", signed: true, events: "i1 ENTITLEMENT_CREATE",
		sign: func(body string) map[string]string {
			return map[string]string{
				"X-Signature-Timestamp": seconds,
				"X-Signature-Ed25519":   hex.EncodeToString(ed25519.Sign(edKey, []byte(seconds+body))),
			}
		},
	}
}

func sendGridSample() sample {
	return sample{
		name: "sendgrid", make: provider.SendGrid, secret: privatePEM(ecKey()),
		body:   "[{\"sg_event_id\":\"a\",\"event\":\"open\"},\r\n{\"sg_event_id\":\"b\",\"event\":\"click\"}]\r\n",
		events: "a open\nb click",
		sign: func(body string) map[string]string {
			sum := sha256.Sum256([]byte(seconds + body))
			return map[string]string{
				"X-Twilio-Email-Event-Webhook-Timestamp": seconds,
				"X-Twilio-Email-Event-Webhook-Signature": base64.StdEncoding.EncodeToString(must(ecdsa.SignASN1(rand.Reader, ecKey(), sum[:]))),
			}
		},
	}
}

func adyenSample() sample {
	raw, _ := hex.DecodeString(adyenKey)
	item := func(ref string) string {
		text := ref + `::shop:a:b\c:1000:EUR:AUTHORISATION:true`
		return `{"NotificationRequestItem":{"additionalData":{"hmacSignature":"` +
			base64.StdEncoding.EncodeToString(mac(sha256.New, string(raw), text)) +
			`"},"amount":{"currency":"EUR","value":1000},"eventCode":"AUTHORISATION","merchantAccountCode":"shop",` +
			`"merchantReference":"a:b\\c","pspReference":"` + ref + `","success":"true"}}`
	}
	return sample{
		name: "adyen", make: provider.Adyen, secret: adyenKey, proof: provider.ProofMetadata,
		body:   `{"live":"false","notificationItems":[` + item("p1") + `,` + item("p2") + `]}`,
		events: "p1:AUTHORISATION:true AUTHORISATION\np2:AUTHORISATION:true AUTHORISATION",
	}
}

// samples has one of each preset, and of each mode that a preset has.
func samples() []sample {
	list := []sample{
		{
			name: "standardwebhooks", make: provider.StandardWebhooks, secret: "whsec_" + key, id: "msg_1",
			body: `{"type":"user.created"}`, wantID: "msg_1", signed: true, events: " user.created",
			sign: func(body string) map[string]string {
				return map[string]string{"webhook-id": "msg_1", "webhook-timestamp": seconds, "webhook-signature": "v1," + standardMAC("msg_1."+seconds+"."+body)}
			},
		},
		{
			name: "standardwebhooks v1a", make: provider.StandardWebhooks, id: "msg_1",
			secret: "whsk_" + base64.StdEncoding.EncodeToString(edKey.Seed()),
			body:   `{"type":"user.created"}`, wantID: "msg_1", signed: true, events: " user.created",
			sign: func(body string) map[string]string {
				sum := ed25519.Sign(edKey, []byte("msg_1."+seconds+"."+body))
				return map[string]string{"webhook-id": "msg_1", "webhook-timestamp": seconds, "webhook-signature": "v1a," + base64.StdEncoding.EncodeToString(sum)}
			},
		},
		{
			name: "svix", make: provider.Svix, secret: "whsec_" + key, id: "msg_1",
			body: `{"type":"user.created"}`, wantID: "msg_1", signed: true, events: " user.created",
			sign: func(body string) map[string]string {
				return map[string]string{"svix-id": "msg_1", "svix-timestamp": seconds, "svix-signature": "v1," + standardMAC("msg_1."+seconds+"."+body)}
			},
		},
		{
			name: "gitlab signed", make: provider.GitLab, secret: "whsec_" + key, id: "d1",
			header: map[string]string{"X-Gitlab-Event": "Push Hook", "Idempotency-Key": "d1"},
			body:   `{"object_kind":"push"}`, wantID: "d1", signed: true, events: " Push Hook",
			sign: func(body string) map[string]string {
				return map[string]string{"webhook-id": "d1", "webhook-timestamp": seconds, "webhook-signature": "v1," + standardMAC("d1."+seconds+"."+body)}
			},
		},
		{
			name: "gitlab", make: provider.GitLab, id: "d1", proof: provider.ProofBearer,
			header: map[string]string{"X-Gitlab-Event": "Push Hook", "Idempotency-Key": "d1"},
			body:   `{"object_kind":"push"}`, wantID: "d1", events: " Push Hook",
			sign: func(string) map[string]string { return map[string]string{"X-Gitlab-Token": key} },
		},
		{
			name: "github", make: provider.GitHub, id: "g1", wantID: "g1",
			header: map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "g1"},
			body:   `{"ref":"main"}`, events: " push", sign: onHeader("X-Hub-Signature-256", "sha256=", hexMAC),
		},
		{
			name: "bitbucket", make: provider.Bitbucket, id: "b1", wantID: "b1",
			header: map[string]string{"X-Event-Key": "repo:push", "X-Request-UUID": "b1"},
			body:   `{"push":{}}`, events: " repo:push", sign: onHeader("X-Hub-Signature", "sha256=", hexMAC),
		},
		{
			name: "gitea", make: provider.Gitea, id: "t1", wantID: "t1",
			header: map[string]string{"X-Gitea-Event": "push", "X-Gitea-Delivery": "t1"},
			body:   `{"ref":"main"}`, events: " push", sign: onHeader("X-Gitea-Signature", "", hexMAC),
		},
		{
			name: "stripe", make: provider.Stripe, secret: stripeKey, body: `{"id":"evt_1","type":"charge.failed"}`,
			wantID: "evt_1", signed: true, events: "evt_1 charge.failed",
			sign: func(body string) map[string]string {
				return map[string]string{"Stripe-Signature": "t=" + seconds + ",v1=" + hex.EncodeToString(mac(sha256.New, stripeKey, seconds+"."+body))}
			},
		},
		{
			name: "slack", make: provider.Slack, body: `{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}`,
			wantID: "Ev1", signed: true, events: "Ev1 message",
			sign: func(body string) map[string]string {
				return map[string]string{"X-Slack-Request-Timestamp": seconds, "X-Slack-Signature": "v0=" + hexMAC("v0:"+seconds+":"+body)}
			},
		},
		{
			name: "zoom", make: provider.Zoom, body: `{"event":"meeting.started"}`, wantID: hashOf(`{"event":"meeting.started"}`), signed: true, events: " meeting.started",
			sign: func(body string) map[string]string {
				return map[string]string{"x-zm-request-timestamp": seconds, "x-zm-signature": "v0=" + hexMAC("v0:"+seconds+":"+body)}
			},
		},
		{
			name: "shopify", make: provider.Shopify, id: "s1", wantID: "s1", body: `{"id":820982911946154508}`,
			header: map[string]string{"X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": "s1", "X-Shopify-Event-Id": "e1"},
			events: "e1 orders/create", sign: onHeader("X-Shopify-Hmac-SHA256", "", b64MAC),
		},
		{
			name: "twilio form", make: provider.Twilio, id: "tw1", wantID: "tw1", url: "https://example.com/hook?a=b",
			header: map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", "I-Twilio-Idempotency-Token": "tw1"},
			body:   "To=%2B1&CallStatus=busy&Digit=2&Digit=1&Digit=2", events: " busy",
			sign: func(string) map[string]string {
				text := "https://example.com/hook?a=bCallStatusbusyDigit1Digit2To+1"
				return map[string]string{"X-Twilio-Signature": base64.StdEncoding.EncodeToString(mac(sha1.New, key, text))}
			},
		},
		{
			name: "twilio json", make: provider.Twilio, url: "https://example.com/hook?bodySHA256=" + fmt.Sprintf("%x", sha256.Sum256([]byte("{}"))),
			body: "{}", events: " ",
			sign: func(string) map[string]string {
				text := "https://example.com:443/hook?bodySHA256=" + fmt.Sprintf("%x", sha256.Sum256([]byte("{}")))
				return map[string]string{"X-Twilio-Signature": base64.StdEncoding.EncodeToString(mac(sha1.New, key, text))}
			},
		},
		{
			name: "meta", make: func(s ...string) *provider.Provider { return provider.Meta("verify", s...) },
			body:   `{"object":"page","entry":[{"id":"1","changes":[{"field":"feed"}]},{"id":"2","messaging":[]}]}`,
			wantID: hashOf(`{"object":"page","entry":[{"id":"1","changes":[{"field":"feed"}]},{"id":"2","messaging":[]}]}`), signed: true,
			events: " page.feed\n page", sign: onHeader("X-Hub-Signature-256", "sha256=", hexMAC),
		},
		{
			name: "x", make: provider.X, body: `{"for_user_id":"1","tweet_create_events":[{}]}`, events: " tweet_create_events",
			wantID: hashOf(`{"for_user_id":"1","tweet_create_events":[{}]}`), signed: true,
			sign: onHeader("x-twitter-webhooks-signature", "sha256=", b64MAC),
		},
		{
			name: "websub", make: func(s ...string) *provider.Provider { return provider.WebSub(nil, s...) },
			header: map[string]string{"Content-Type": "application/atom+xml", "Link": `<https://hub.example/>; rel="hub", <https://blog.example/feed>; rel="self"`},
			body:   "<feed/>", events: " https://blog.example/feed", sign: onHeader("X-Hub-Signature", "sha256=", hexMAC),
		},
		{
			name: "dropbox", make: provider.Dropbox, body: `{"list_folder":{"accounts":["a"]}}`, events: " ",
			sign: onHeader("X-Dropbox-Signature", "", hexMAC),
		},
		{
			name: "linear", make: provider.Linear, id: "l1", wantID: hashOf(`{,"type":"Issue"}`), signed: true, header: map[string]string{"Linear-Delivery": "l1"},
			body: `{"webhookTimestamp":` + millis + `,"type":"Issue"}`, events: "l1 Issue", sign: onHeader("Linear-Signature", "", hexMAC),
		},
		{
			name: "hubspot", make: provider.HubSpot, url: "https://example.com/a%3Fb%20c?x=%26",
			body:   `[{"eventId":1,"subscriptionId":5,"objectId":7,"occurredAt":1567790363161,"subscriptionType":"contact.creation"},{"eventId":2,"attemptNumber":0,"subscriptionType":"deal.creation"}]`,
			wantID: hashOf(`[{"eventId":1,"subscriptionId":5,"objectId":7,"occurredAt":1567790363161,"subscriptionType":"contact.creation"},{"eventId":2,,"subscriptionType":"deal.creation"}]`), signed: true,
			events: "1:5:7:1567790363161 contact.creation\n2::: deal.creation",
			sign: func(body string) map[string]string {
				text := "POSThttps://example.com/a?b%20c?x=%26" + body + millis
				return map[string]string{"X-HubSpot-Request-Timestamp": millis, "X-HubSpot-Signature-v3": b64MAC(text)}
			},
		},
		{
			name: "square", make: provider.Square, url: "https://example.com/square", body: `{"event_id":"q1","type":"payment.created"}`,
			wantID: "q1", signed: true, events: "q1 payment.created",
			sign: func(body string) map[string]string {
				return map[string]string{"x-square-hmacsha256-signature": b64MAC("https://example.com/square" + body)}
			},
		},
		{
			name: "paddle", make: provider.Paddle, body: `{"event_id":"evt_1","event_type":"price.created"}`,
			wantID: "evt_1", signed: true, events: "evt_1 price.created",
			sign: func(body string) map[string]string {
				return map[string]string{"Paddle-Signature": "ts=" + seconds + ";h1=" + hexMAC(seconds+":"+body)}
			},
		},
		{
			name: "pagerduty", make: provider.PagerDuty, body: `{"event":{"id":"01","event_type":"incident.triggered"}}`,
			wantID: "01", signed: true, events: "01 incident.triggered", sign: onHeader("X-PagerDuty-Signature", "v1=", hexMAC),
		},
		{
			name: "zendesk", make: provider.Zendesk, id: "z1", wantID: "z1", header: map[string]string{"X-Zendesk-Webhook-Invocation-Id": "z1"},
			body: `{"id":"n1","type":"zen:event-type:user.created"}`, events: "n1 zen:event-type:user.created",
			sign: func(body string) map[string]string {
				return map[string]string{"X-Zendesk-Webhook-Signature-Timestamp": rfc3339, "X-Zendesk-Webhook-Signature": b64MAC(rfc3339 + body)}
			},
		},
		{
			name: "twitch", make: provider.Twitch, id: "tw", wantID: "tw", signed: true, events: " stream.online",
			header: map[string]string{"Twitch-Eventsub-Message-Type": "notification"},
			body:   `{"subscription":{"type":"stream.online"},"event":{}}`,
			sign: func(body string) map[string]string {
				return map[string]string{
					"Twitch-Eventsub-Message-Id": "tw", "Twitch-Eventsub-Message-Timestamp": rfc3339,
					"Twitch-Eventsub-Message-Signature": "sha256=" + hexMAC("tw"+rfc3339+body),
				}
			},
		},
		{
			name: "typeform", make: provider.Typeform, body: `{"event_id":"f1","event_type":"form_response"}`,
			wantID: "f1", signed: true, events: "f1 form_response", sign: onHeader("Typeform-Signature", "sha256=", b64MAC),
		},
		{
			name: "mailgun", make: provider.Mailgun, id: "tok", wantID: "tok", signed: true, proof: provider.ProofMetadata,
			body:   `{"signature":{"timestamp":"` + seconds + `","token":"tok","signature":"` + hexMAC(seconds+"tok") + `"},"event-data":{"event":"opened","id":"e1"}}`,
			events: "e1 opened",
		},
		{
			name: "graph", make: provider.MicrosoftGraph, proof: provider.ProofBearer,
			body:   `{"value":[{"clientState":"` + key + `","changeType":"created"},{"clientState":"` + key + `","lifecycleEvent":"missed","id":"n2"}]}`,
			events: " created\nn2 missed",
		},
		{
			name: "eventgrid", make: func(s ...string) *provider.Provider { return provider.AzureEventGrid(nil, s...) },
			proof: provider.ProofBearer, url: "https://example.com/?code=" + key,
			body: `[{"id":"1","eventType":"A"},{"id":"2","eventType":"B"}]`, events: "1 A\n2 B",
		},
		{
			name: "cloudevents batch", make: func(s ...string) *provider.Provider { return provider.CloudEvents(nil, s...) },
			proof: provider.ProofBearer, header: map[string]string{"Content-Type": "application/cloudevents-batch+json; charset=utf-8"},
			body: `[{"id":"1","source":"/a","type":"T"},{"id":"2","source":"/b","type":"U"}]`, events: "/a 1 T\n/b 2 U",
			sign: onHeader("Authorization", "", func(string) string { return "Bearer " + key }),
		},
		{
			name: "cloudevents binary", make: func(s ...string) *provider.Provider { return provider.CloudEvents(nil, s...) },
			proof: provider.ProofBearer, header: map[string]string{"Ce-Id": "1%20", "Ce-Source": "/a", "Ce-Type": "T%C3%A9"},
			body: `[1,2]`, events: "/a 1%20 Té", sign: onHeader("Authorization", "", func(string) string { return "bearer " + key }),
		},
		{
			name: "alertmanager basic", make: provider.Alertmanager, secret: "me:" + key, proof: provider.ProofBearer,
			body: `{"status":"firing"}`, events: " firing",
			sign: onHeader("Authorization", "Basic ", func(string) string { return base64.StdEncoding.EncodeToString([]byte("me:" + key)) }),
		},
		{
			name: "alertmanager", make: provider.Alertmanager, proof: provider.ProofBearer, body: `{"status":"firing"}`, events: " firing",
			sign: onHeader("Authorization", "Bearer ", func(string) string { return key }),
		},
		discordSample(), sendGridSample(), adyenSample(), snsSample(),
	}
	for i := range list {
		s := &list[i]
		if s.secret == "" {
			s.secret = key
		}
		if s.proof == provider.ProofNone {
			s.proof = provider.ProofBody
		}
		if s.sign == nil {
			s.sign = func(string) map[string]string { return nil }
		}
		if s.url == "" {
			s.url = "https://example.com/hook"
		}
	}
	return list
}

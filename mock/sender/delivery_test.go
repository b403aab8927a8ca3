package sender_test

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Only the holder of the secret can sign a delivery that the receiver accepts, wherever the
// provider puts its signature or token.
func TestSignature(t *testing.T) {
	const topic = "arn:aws:sns:us-east-1:123456789012:orders"
	sns := func(secret string) *provider.Provider {
		p := provider.AmazonSNS(nil, topic)
		if err := p.SetSecrets(secret); err != nil {
			t.Fatal(err)
		}
		return p
	}
	item := `{"amount":{"value":1000,"currency":"EUR"},"eventCode":"AUTHORISATION","merchantAccountCode":"M","pspReference":"p","success":"true"}`
	for name, c := range map[string]struct {
		owner, forger *provider.Provider
		body          string
	}{
		"adyen":           {provider.Adyen(strings.Repeat("0a", 32)), provider.Adyen(strings.Repeat("0b", 32)), `{"live":"false","notificationItems":[{"NotificationRequestItem":` + item + `}]}`},
		"alertmanager":    {provider.Alertmanager("name:password"), provider.Alertmanager("name:guess"), `{}`},
		"event grid":      {provider.AzureEventGrid(nil, "secret"), provider.AzureEventGrid(nil, "guess"), `[{"id":"1"}]`},
		"github":          {provider.GitHub("secret"), provider.GitHub("guess"), `{}`},
		"gitlab token":    {provider.GitLab("secret"), provider.GitLab("guess"), `{}`},
		"graph":           {provider.MicrosoftGraph("abcd"), provider.MicrosoftGraph("abce"), `{"value":[{"changeType":"created"}]}`},
		"graph, complete": {provider.MicrosoftGraph("abcd"), nil, `{"value":[{"changeType":"created","clientState":"abcd"}]}`},
		"hubspot":         {provider.HubSpot("secret"), provider.HubSpot("guess"), `[{"eventId":1}]`},
		"linear":          {provider.Linear("secret"), provider.Linear("guess"), `{"type":"Issue"}`},
		"mailgun":         {provider.Mailgun("secret"), provider.Mailgun("guess"), `{"event-data":{"event":"opened"}}`},
		"shopify":         {provider.Shopify("secret"), provider.Shopify("guess"), `{}`},
		"slack":           {provider.Slack("secret"), provider.Slack("guess"), `{}`},
		"sns":             {sns(rsaPEM(t)), sns(rsaPEM(t)), `{"Message":"hello","TopicArn":"` + topic + `"}`},
		"standard":        {provider.StandardWebhooks(whsec), provider.StandardWebhooks("whsec_" + whsec[10:]), `{}`},
		"stripe":          {provider.Stripe("whsec_secret"), provider.Stripe("whsec_guess"), `{"id":"1"}`},
		"twilio":          {provider.Twilio("secret"), provider.Twilio("guess"), "CallStatus=busy"},
		"asana":           {provider.Asana(nil, "secret"), provider.Asana(nil, "guess"), `{"events":[{"action":"added"}]}`},
		"box":             {provider.Box("primary", "secondary"), provider.Box("guess"), `{"id":"1"}`},
		"box, secondary":  {provider.Box("primary", "secondary"), provider.Box("guess", "secondary"), `{"id":"1"}`},
		"buildkite":       {provider.Buildkite("secret"), provider.Buildkite("guess"), `{"event":"ping"}`},
		"docusign":        {provider.DocuSign("secret"), provider.DocuSign("guess"), `{"event":"a"}`},
		"figma":           {provider.Figma("secret"), provider.Figma("guess"), `{"event_type":"FILE_UPDATE"}`},
		"mandrill":        {provider.Mandrill("secret"), provider.Mandrill("guess"), "mandrill_events=%5B%7B%7D%5D"},
		"okta":            {provider.Okta("secret"), provider.Okta("guess"), `{"data":{"events":[{"uuid":"1"}]}}`},
		"telegram":        {provider.Telegram("secret"), provider.Telegram("guess"), `{"update_id":1}`},
		"trello":          {provider.Trello("secret"), provider.Trello("guess"), `{"action":{"id":"1"}}`},
		"zendesk":         {provider.Zendesk("secret"), provider.Zendesk("guess"), `{"type":"x"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
				r := receiveHooks(t, c.owner, func(string) error { return nil })
				d := sender.Delivery{ID: strings.Repeat("a-long-id-", 10), Body: []byte(c.body)}
				if name == "twilio" || name == "mandrill" {
					d.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
				}
				if c.forger != nil {
					want := cmp.Or(c.owner.Answers.Forged.Status, 401)
					got, err := (&sender.Client{Provider: c.forger, URL: r.url, Client: r.client}).Post(t.Context(), d)
					if err != nil || got.Status != want || len(r.ids) != 0 {
						t.Errorf("forged: got status %d, %v, deliveries %q, want status %d and none", got.Status, err, r.ids, want)
					}
				}
				if got, err := (&sender.Client{Provider: c.owner, URL: r.url, Client: r.client}).Post(t.Context(), d); err != nil || !got.Accepted() {
					t.Errorf("signed: got status %d %s, %v, want a 2xx", got.Status, got.Body, err)
				}
			})
		})
	}
}

func TestAgeHeaderAndPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := receiveHooks(t, provider.StandardWebhooks(whsec), func(string) error { return nil })
		s := &sender.Client{Provider: provider.StandardWebhooks(whsec), URL: r.url, Client: r.client}
		for status, d := range map[int]sender.Delivery{
			204: {ID: "fresh", Body: []byte(`{}`), Age: 4 * time.Minute},
			401: {ID: "stale", Body: []byte(`{}`), Age: 6 * time.Minute},
			415: {ID: "gzip", Body: []byte(`{}`), Header: http.Header{"Content-Encoding": {"gzip"}}},
		} {
			if sent, err := s.Post(t.Context(), d); err != nil || sent.Status != status {
				t.Errorf("%s: got status %d %v, %v, want %d", d.ID, sent.Status, sent.Err, err, status)
			}
		}
		start := time.Now()
		sent, err := s.Post(t.Context(), sender.Delivery{ID: "slow", Body: []byte(strings.Repeat("x", 100)), Pace: time.Second / 2})
		if err != nil || !sent.Accepted() || time.Since(start) != 5*time.Second {
			t.Errorf("slow: got %+v, %v after %v, want a 2xx after 5s", sent, err, time.Since(start))
		}
		equal(t, slices.Sorted(slices.Values(r.ids)), []string{"fresh", "slow"})
	})
}

func rsaPEM(t *testing.T) string {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return privatePEM(t, k)
}

func privatePEM(t *testing.T, k any) string {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

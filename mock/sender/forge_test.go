package sender_test

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestSenderForgesTheProof has a probe be refused because its proof is wrong, wherever
// that is, and not because something else cannot be read any more.
func TestSenderForgesTheProof(t *testing.T) {
	const topic = "arn:aws:sns:us-east-1:123456789012:orders"
	sns := provider.AmazonSNS(nil, topic)
	if err := sns.SetSecrets(rsaPEM(t)); err != nil {
		t.Fatal(err)
	}
	item := `{"amount":{"value":1000,"currency":"EUR"},"eventCode":"AUTHORISATION","merchantAccountCode":"M","pspReference":"p","success":"true"}`
	for name, c := range map[string]struct {
		provider *provider.Provider
		body     string
	}{
		"adyen":           {provider.Adyen(strings.Repeat("0a", 32)), `{"live":"false","notificationItems":[{"NotificationRequestItem":` + item + `}]}`},
		"graph":           {provider.MicrosoftGraph("abcd"), `{"value":[{"changeType":"created"}]}`},
		"graph, complete": {provider.MicrosoftGraph("abcd"), `{"value":[{"changeType":"created","clientState":"abcd"}]}`},
		"mailgun":         {provider.Mailgun("a secret"), `{"event-data":{"event":"opened"}}`},
		"sns":             {sns, `{"Message":"hello","TopicArn":"` + topic + `"}`},
		"twilio":          {provider.Twilio("a secret"), "CallStatus=busy"},
		"hubspot":         {provider.HubSpot("a secret"), `[{"eventId":1}]`},
		"linear":          {provider.Linear("a secret"), `{"type":"Issue"}`},
		"zendesk":         {provider.Zendesk("a secret"), `{"type":"x"}`},
		"github":          {provider.GitHub("a secret"), `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := &transport.Webhook{Provider: c.provider, URL: "http://hooks.test/in"}
				refused := ""
				hook.OnRefused = func(e *transport.RefusedError) { refused = e.Error() }
				srv := mock.NewServer(hook)
				defer srv.Close()
				conn, err := hook.Open(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				s := sender.New(c.provider, "http://hooks.test/in", srv.Client())
				d := sender.Delivery{ID: strings.Repeat("a-long-id-", 10), Body: []byte(c.body)}
				if name == "twilio" {
					d.Header = map[string][]string{"Content-Type": {"application/x-www-form-urlencoded"}}
				}
				d.Forged = true
				if sent, err := s.Post(t.Context(), d); err != nil || sent.Status != cmp.Or(c.provider.Answers.Forged.Status, 401) {
					t.Errorf("forged: status %d, %v: %s", sent.Status, err, refused)
				}
				d.Forged = false
				go func() {
					for m, err := readFrom(conn); err == nil; m, err = readFrom(conn) {
						m.Settle(nil)
					}
				}()
				if sent, err := s.Post(t.Context(), d); err != nil || !sent.Accepted() {
					t.Errorf("genuine: status %d, %v: %s", sent.Status, err, refused)
				}
			})
		})
	}
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

package provider_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const key = "c0ffee00c0ffee00" // text, and hex and Base64 as well

// Keys for senders that prescribe a form.
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

// A sample is a delivery of one sender, with a signer that is independent of the package under
// test: it follows the sender's documentation.
type sample struct {
	name   string
	make   func(secrets ...string) *provider.Provider
	secret string // key
	url    string
	header map[string]string // without those of sign
	id     string            // of the delivery, in the header
	body   string
	sign   func(body string) map[string]string // headers

	wantID string
	signed bool
	proof  transport.Proof // ProofBody
	events string          // "id type", one in each line

	vectors []string // names of those that the provider receives too
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

// Private keys, generated once.
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

// samples returns a sample of each preset, and of each mode that a preset has.
func samples() []sample {
	list := slices.Concat(
		alertmanagerSamples(), auth0Samples(), cloudEventsSamples(), cloudflareSamples(), gitLabSamples(),
		standardWebhooksSamples(), twilioSamples(),
		[]sample{
			adyenSample(), amazonSNSSample(), asanaSample(), azureEventGridSample(), bitbucketSample(),
			boxSample(), buildkiteSample(), calendlySample(), circleCISample(), clerkSample(), discordSample(), docuSignSample(),
			dropboxSample(), figmaSample(),
			giteaSample(), gitHubSample(), goCardlessSample(), hubSpotSample(), intercomSample(), jiraSample(),
			lemonSqueezySample(), linearSample(), lineSample(), mailgunSample(), mandrillSample(), metaSample(),
			microsoftGraphSample(), muxSample(), notionSample(), oktaSample(), paddleSample(), pagerDutySample(),
			razorpaySample(), resendSample(), sendGridSample(), sentrySample(), shopifySample(), kickSample(), payPalSample(), wiseSample(), slackSample(),
			squareSample(), stripeSample(), svixSample(), telegramSample(), terraformCloudSample(), trelloSample(),
			twitchSample(), typeformSample(), vercelSample(), webSubSample(), wooCommerceSample(), xeroSample(),
			xSample(), zendeskSample(), zoomSample(),
		},
	)
	for i := range list {
		s := &list[i]
		if s.secret == "" {
			s.secret = key
		}
		if s.proof == transport.ProofNone {
			s.proof = transport.ProofBody
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

const body = `{"type":"a"}`

func header(pairs ...string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// signed returns a delivery of 1 KiB, signed by p.
func signed(t testing.TB, p *provider.Provider) *provider.Request {
	r := &provider.Request{
		Method: "POST", URL: "https://example.com/", Header: http.Header{"Content-Type": {"application/json"}},
		Body: []byte(`{"type":"a","id":"evt_1","more":"` + strings.Repeat("x", 990) + `"}`), Time: at,
	}
	if err := p.Sign(r, "d1"); err != nil {
		t.Fatal(err)
	}
	return r
}

package provider_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestSignatureHeaders receives headers that are not what the sender would send. Those
// that cannot be right whatever the body is are refused before it is read.
func TestSignatureHeaders(t *testing.T) {
	good := "v1," + standardMAC("m1."+seconds+"."+body)
	wrong := "v1," + standardMAC("m2."+seconds+"."+body)
	standard := func(id, stamp string, signatures ...string) http.Header {
		h := header("webhook-id", id, "webhook-timestamp", stamp)
		h["Webhook-Signature"] = signatures
		return h
	}
	stripe := func(stamp string) string {
		return "v1=" + hex.EncodeToString(mac(sha256.New, stripeKey, stamp+"."+body))
	}
	hub := "sha256=" + hexMAC(body)
	times := func(n int, s, sep string) string { return strings.TrimSuffix(strings.Repeat(s+sep, n), sep) }

	const (
		taken = iota
		early // refused by Precheck
		earlyForged
		late     // refused by Receive, forged
		onlyLate // refused by Receive
	)
	all := map[*provider.Provider][]struct {
		name   string
		header http.Header
		want   int
	}{
		provider.StandardWebhooks("whsec_" + key): {
			{"one", standard("m1", seconds, good), taken},
			{"several", standard("m1", seconds, wrong+" "+good), taken},
			{"unknown versions", standard("m1", seconds, "v2,%% v1a,!! "+good+" x"), taken},
			{"16 signatures", standard("m1", seconds, times(15, wrong, " ")+" "+good), taken},
			{"17 signatures", standard("m1", seconds, times(16, wrong, " ")+" "+good), early},
			{"33 entries", standard("m1", seconds, times(33, "v9,x", " ")+" "+good), early},
			{"another", standard("m1", seconds, wrong), late},
			{"no signature", standard("m1", seconds), early},
			{"an empty one", standard("m1", seconds, ""), early},
			{"only the prefix", standard("m1", seconds, "v1,"), early},
			{"only unknown versions", standard("m1", seconds, "v2,"+good[3:]), early},
			{"two lines", standard("m1", seconds, good, good), early},
			{"one that is malformed", standard("m1", seconds, "v1,!!!! "+good), early},
			{"a line end in Base64", standard("m1", seconds, good[:9]+"\n"+good[9:]), early},
			{"no padding", standard("m1", seconds, strings.TrimRight(good, "=")), early},
			{"stray bits", standard("m1", seconds, "v1,"+strings.Repeat("A", 42)+"B="), early},
			{"another length", standard("m1", seconds, "v1,AAAA"), early},
			{"too long", standard("m1", seconds, "v1,"+strings.Repeat("AAAA", 43)), early},
			{"much too long", standard("m1", seconds, "v1,"+strings.Repeat("AAAA", 1000)), early},
			{"no id", standard("", seconds, good), early},
			{"two ids", func() http.Header { h := standard("m1", seconds, good); h.Add("webhook-id", "m1"); return h }(), early},
			{"two times", func() http.Header { h := standard("m1", seconds, good); h.Add("webhook-timestamp", seconds); return h }(), early},
			{"a point in the id", standard("m1."+seconds, seconds, "v1,"+standardMAC("m1."+seconds+"."+seconds+"."+body)), early},
			{"a time with a sign", standard("m1", "+"+seconds, good), early},
			{"a time with a zero", standard("m1", "0"+seconds, good), early},
			{"a time with a space", standard("m1", seconds+" ", good), early},
			{"a time with a fraction", standard("m1", seconds+".0", good), early},
			{"a time in milliseconds", standard("m1", millis, good), early},
			{"no time", standard("m1", "", good), early},
			{"an old time", standard("m1", "1741000000", "v1,"+standardMAC("m1.1741000000."+body)), earlyForged},
			{"a time to come", standard("m1", "1749999999", "v1,"+standardMAC("m1.1749999999."+body)), earlyForged},
		},
		provider.StandardWebhooks("whsk_" + base64.StdEncoding.EncodeToString(edKey.Seed())): {
			{"4 of a public key", standard("m1", seconds, times(3, "v1a,"+strings.Repeat("A", 86)+"==", " ")+" "+publicSignature()), taken},
			{"5 of a public key", standard("m1", seconds, times(4, "v1a,"+strings.Repeat("A", 86)+"==", " ")+" "+publicSignature()), early},
			{"of another kind", standard("m1", seconds, good), early},
		},
		provider.Linear(key): {
			{"no time in the body", header("Linear-Signature", hexMAC(body)), onlyLate},
		},
		provider.Svix("whsec_" + key): {
			{"either name", standard("m1", seconds, good), taken},
			{"both", header("svix-id", "m1", "svix-timestamp", seconds, "svix-signature", good,
				"webhook-id", "m1", "webhook-timestamp", seconds, "webhook-signature", good), taken},
			{"both, and different", header("svix-id", "m1", "svix-timestamp", seconds, "svix-signature", good,
				"webhook-id", "m2", "webhook-timestamp", seconds, "webhook-signature", good), early},
			{"half of one", header("svix-signature", good, "webhook-id", "m1", "webhook-timestamp", seconds), early},
		},
		provider.Stripe(stripeKey): {
			{"one", header("Stripe-Signature", "t="+seconds+","+stripe(seconds)), taken},
			{"in another order", header("Stripe-Signature", "v0=00,"+stripe(seconds)+",t="+seconds), taken},
			{"two", header("Stripe-Signature", "t="+seconds+","+stripe("1")+","+stripe(seconds)), taken},
			{"two times", header("Stripe-Signature", "t="+seconds+",t="+seconds+","+stripe(seconds)), early},
			{"an empty time", header("Stripe-Signature", "t=,"+stripe("")), early},
			{"no time", header("Stripe-Signature", stripe("")), early},
			{"only v0", header("Stripe-Signature", "t="+seconds+",v0="+stripe(seconds)[3:]), early},
			{"a space", header("Stripe-Signature", "t="+seconds+", "+stripe(seconds)), early},
			{"mixed case", header("Stripe-Signature", "t="+seconds+",v1=aB"+stripe(seconds)[5:]), early},
			{"odd", header("Stripe-Signature", "t="+seconds+","+stripe(seconds)+"0"), early},
		},
		provider.GitHub(key): {
			{"one", header("X-Hub-Signature-256", hub), taken},
			{"upper case", header("X-Hub-Signature-256", "sha256="+strings.ToUpper(hub[7:])), taken},
			{"another prefix", header("X-Hub-Signature-256", "SHA256="+hub[7:]), early},
			{"no prefix", header("X-Hub-Signature-256", hub[7:]), early},
			{"a list", header("X-Hub-Signature-256", hub+","+hub), early},
			{"SHA-1 only", header("X-Hub-Signature", "sha1=3374ef144403e8035423b23b02e2c9d7a4c50368"), early},
			{"nothing", header(), early},
		},
		provider.Alertmanager(key): {
			{"a token", header("Authorization", "BEARER "+key), taken},
			{"another", header("Authorization", "Bearer "+key+"0"), earlyForged},
			{"a part", header("Authorization", "Bearer "+key[1:]), earlyForged},
			{"nothing", header("Authorization", "Bearer "), earlyForged},
			{"another scheme", header("Authorization", "Basic "+key), early},
			{"two", header("Authorization", "Bearer "+key, "Authorization", "Bearer "+key), early},
		},
		provider.Alertmanager("me:secret"): {
			{"a login", header("Authorization", "Basic bWU6c2VjcmV0"), taken},
			{"no padding", header("Authorization", "Basic bWU6c2VjcmV"), early},
			{"another", header("Authorization", "Basic bWU6c2VjcmVx"), earlyForged},
			{"a token", header("Authorization", "Bearer me:secret"), earlyForged},
		},
		provider.GitLab("whsec_"+key, "the token"): {
			{"signed", standard("m1", seconds, good), taken},
			{"a token", header("X-Gitlab-Token", "the token"), taken},
			{"a wrong signature and a token", func() http.Header {
				h := standard("m1", seconds, wrong)
				h.Set("X-Gitlab-Token", "the token")
				return h
			}(), late},
			{"an old signature and a token", func() http.Header {
				h := standard("m1", "1741000000", good)
				h.Set("X-Gitlab-Token", "the token")
				return h
			}(), earlyForged},
			{"a wrong token", header("X-Gitlab-Token", "the"), earlyForged},
		},
	}
	for p, cases := range all {
		for _, c := range cases {
			r := &provider.Request{Method: "POST", URL: "https://example.com/", Header: c.header, Body: []byte(body), Time: at}
			err := p.Precheck(r)
			_, failure := p.Receive(r)
			got := taken
			switch {
			case err != nil && forged(err):
				got = earlyForged
			case err != nil:
				got = early
			case failure != nil && forged(failure):
				got = late
			case failure != nil:
				got = onlyLate
			}
			if got != c.want {
				t.Errorf("%s: %s: %v, %v", p.Name, c.name, err, failure)
			}
			if err != nil && failure == nil {
				t.Errorf("%s: %s: refused by Precheck only: %v", p.Name, c.name, err)
			}
		}
	}
}

func publicSignature() string {
	return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(edKey, []byte("m1."+seconds+"."+body)))
}

// TestSignatureLengths reads signatures of any length, in each encoding and by schemes of
// fixed and of free length.
func TestSignatureLengths(t *testing.T) {
	for _, p := range []*provider.Provider{provider.GitHub(key), provider.Typeform(key), provider.SendGrid(privatePEM(ecKey()))} {
		name := map[string]string{
			"github": "X-Hub-Signature-256", "typeform": "Typeform-Signature", "sendgrid": "X-Twilio-Email-Event-Webhook-Signature",
		}[p.Name]
		prefix := map[string]string{"github": "sha256=", "typeform": "sha256="}[p.Name]
		for n := range 400 {
			for _, padding := range []string{"", "=", "=="} {
				r := &provider.Request{Header: header(name, prefix+strings.Repeat("A", n)+padding), Body: []byte(body), Time: at}
				r.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", seconds)
				if _, err := p.Receive(r); err == nil {
					t.Errorf("%s takes %d bytes", p.Name, n)
				}
			}
		}
	}
}

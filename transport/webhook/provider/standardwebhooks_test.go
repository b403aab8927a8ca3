package provider_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func standardWebhooksSamples() []sample {
	return []sample{
		{
			name: "standardwebhooks", make: provider.StandardWebhooks, secret: "whsec_" + key, id: "msg_1",
			body: `{"type":"user.created"}`, wantID: "msg_1", signed: true, events: " user.created",
			sign: func(body string) map[string]string {
				return map[string]string{"webhook-id": "msg_1", "webhook-timestamp": seconds, "webhook-signature": "v1," + standardMAC("msg_1."+seconds+"."+body)}
			},
			vectors: []string{"standardwebhooks-v1", "standardwebhooks-v1a"},
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
	}
}

// standardMAC returns the HMAC with the key of the secret "whsec_" + key.
func standardMAC(text string) string {
	raw, _ := base64.StdEncoding.DecodeString(key)
	return base64.StdEncoding.EncodeToString(mac(sha256.New, string(raw), text))
}

// Sign refuses an id that Receive would refuse.
func TestStandardWebhooksSignRefusesIDs(t *testing.T) {
	for _, id := range []string{"", "a.b"} {
		if provider.StandardWebhooks("whsec_"+key).Sign(&provider.Request{}, id) == nil {
			t.Errorf("id %q: got no error, want one", id)
		}
	}
}

// standardHeader returns the headers of a delivery of Standard Webhooks.
func standardHeader(id, stamp string, signatures ...string) http.Header {
	h := header("webhook-id", id, "webhook-timestamp", stamp)
	h["Webhook-Signature"] = signatures
	return h
}

func TestStandardWebhooksHeaders(t *testing.T) {
	good := "v1," + standardMAC("m1."+seconds+"."+body)
	wrong := "v1," + standardMAC("m2."+seconds+"."+body)
	v1a := "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(edKey, []byte("m1."+seconds+"."+body)))
	repeat := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+" ", n), " ") }
	testHeaders(t, provider.StandardWebhooks("whsec_"+key), []headerCase{
		{"one", standardHeader("m1", seconds, good), accepted},
		{"several", standardHeader("m1", seconds, wrong+" "+good), accepted},
		{"unknown versions", standardHeader("m1", seconds, "v2,%% v1a,!! "+good+" x"), accepted},
		{"16 signatures", standardHeader("m1", seconds, repeat(15, wrong)+" "+good), accepted},
		{"17 signatures", standardHeader("m1", seconds, repeat(16, wrong)+" "+good), malformedEarly},
		{"33 entries", standardHeader("m1", seconds, repeat(33, "v9,x")+" "+good), malformedEarly},
		{"another", standardHeader("m1", seconds, wrong), forgedLate},
		{"no signature", standardHeader("m1", seconds), malformedEarly},
		{"an empty one", standardHeader("m1", seconds, ""), malformedEarly},
		{"the prefix alone", standardHeader("m1", seconds, "v1,"), malformedEarly},
		{"only unknown versions", standardHeader("m1", seconds, "v2,"+good[3:]), malformedEarly},
		{"two lines", standardHeader("m1", seconds, good, good), malformedEarly},
		{"one of two malformed", standardHeader("m1", seconds, "v1,!!!! "+good), malformedEarly},
		{"a line end in Base64", standardHeader("m1", seconds, good[:9]+"\n"+good[9:]), malformedEarly},
		{"no padding", standardHeader("m1", seconds, strings.TrimRight(good, "=")), malformedEarly},
		{"stray bits", standardHeader("m1", seconds, "v1,"+strings.Repeat("A", 42)+"B="), malformedEarly},
		{"another length", standardHeader("m1", seconds, "v1,AAAA"), malformedEarly},
		{"too long", standardHeader("m1", seconds, "v1,"+strings.Repeat("AAAA", 43)), malformedEarly},
		{"much too long", standardHeader("m1", seconds, "v1,"+strings.Repeat("AAAA", 1000)), malformedEarly},
		{"no id", standardHeader("", seconds, good), malformedEarly},
		{"two ids", func() http.Header { h := standardHeader("m1", seconds, good); h.Add("webhook-id", "m1"); return h }(), malformedEarly},
		{"two times", func() http.Header {
			h := standardHeader("m1", seconds, good)
			h.Add("webhook-timestamp", seconds)
			return h
		}(), malformedEarly},
		{"a dot in the id", standardHeader("m1."+seconds, seconds, "v1,"+standardMAC("m1."+seconds+"."+seconds+"."+body)), malformedEarly},
		{"a time with a sign", standardHeader("m1", "+"+seconds, good), malformedEarly},
		{"a time with a zero", standardHeader("m1", "0"+seconds, good), malformedEarly},
		{"a time with a space", standardHeader("m1", seconds+" ", good), malformedEarly},
		{"a time with a fraction", standardHeader("m1", seconds+".0", good), malformedEarly},
		{"a time in milliseconds", standardHeader("m1", millis, good), malformedEarly},
		{"no time", standardHeader("m1", "", good), malformedEarly},
		{"an old time", standardHeader("m1", "1741000000", "v1,"+standardMAC("m1.1741000000."+body)), forgedEarly},
		{"a time in the future", standardHeader("m1", "1749999999", "v1,"+standardMAC("m1.1749999999."+body)), forgedEarly},
	})
	testHeaders(t, provider.StandardWebhooks("whsk_"+base64.StdEncoding.EncodeToString(edKey.Seed())), []headerCase{
		{"4 for a public key", standardHeader("m1", seconds, repeat(3, "v1a,"+strings.Repeat("A", 86)+"==")+" "+v1a), accepted},
		{"5 for a public key", standardHeader("m1", seconds, repeat(4, "v1a,"+strings.Repeat("A", 86)+"==")+" "+v1a), malformedEarly},
		{"of another version", standardHeader("m1", seconds, good), malformedEarly},
	})
	private := "whsk_" + base64.StdEncoding.EncodeToString(edKey.Seed())
	noise := "v1a," + strings.Repeat("A", 86) + "=="
	testHeaders(t, provider.StandardWebhooks(private, "whsec_"+key), []headerCase{
		{"v1", standardHeader("m1", seconds, good), accepted},
		{"v1a", standardHeader("m1", seconds, v1a), accepted},
		{"both", standardHeader("m1", seconds, v1a+" "+good), accepted},
		{"a wrong v1", standardHeader("m1", seconds, wrong+" "+v1a), accepted},
		{"a malformed v1", standardHeader("m1", seconds, "v1,!! "+v1a), accepted},
		{"a wrong v1a", standardHeader("m1", seconds, noise+" "+good), accepted},
		{"a malformed v1a", standardHeader("m1", seconds, "v1a,!! "+good), accepted},
		{"both wrong", standardHeader("m1", seconds, noise+" "+wrong), forgedLate},
		{"both malformed", standardHeader("m1", seconds, "v1a,!! v1,!!"), malformedEarly},
		{"one wrong, one malformed", standardHeader("m1", seconds, noise+" v1,!!"), forgedLate},
		{"one malformed, one wrong", standardHeader("m1", seconds, "v1a,!! "+wrong), forgedLate},
		{"neither", standardHeader("m1", seconds, "v2,"+good[3:]), malformedEarly},
		{"an old time", standardHeader("m1", "1741000000", good+" "+v1a), forgedEarly},
	})
}

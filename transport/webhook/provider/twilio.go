package provider

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Twilio returns the Provider for Twilio's callbacks. A secret is an auth token, or the secret
// of a SharedKey: a signature may be an HMAC-SHA1 or, as a Webhook Rule sets it, an
// HMAC-SHA256. Request.URL must be the public URL. It may omit the default port and the HTTP
// credentials of the URL that is configured at Twilio.
//
// Twilio signs a form without delimiters: the signature does not show where a value ends and
// the next name begins.
// (https://www.twilio.com/docs/usage/security,
// https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys)
func Twilio(secrets ...string) *Provider {
	p := &Provider{
		Name: "twilio", Deadline: 13 * time.Second,
		Retry: Retry{Waits: []time.Duration{0}},
		Answers: Answers{Accepted: Answer{
			Status: http.StatusOK, Header: safeHeader("application/xml"), Body: []byte("<Response/>"),
		}},
		Scheme: Signature{
			Algorithm: HMACSHA1, Header: "X-Twilio-Signature", Encoding: EncodingBase64, Signed: "{url}{body}",
			also: []Algorithm{HMACSHA256}, urls: twilioURLs, body: twilioBody,
		},
		ID:      Source{Header: "I-Twilio-Idempotency-Token"},
		Payload: Payload{Type: Source{Form: []string{"EventType", "MessageStatus", "CallStatus", "SmsStatus"}}},
	}
	return p.with(secrets)
}

// twilioURLs returns the URLs that Twilio may have signed. Each is tried with the port and
// without it, because Twilio documents one and its servers do either; and with the HTTP
// credentials of the configured URL, which Twilio sends as the Authorization of the request.
// (https://www.twilio.com/docs/usage/security, and twilio-node, src/webhooks/webhooks.ts)
func twilioURLs(r *Request) []string {
	scheme, rest, ok := strings.Cut(r.URL, "://")
	if !ok {
		return []string{r.URL}
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, path := rest[:end], rest[end:]
	hosts := []string{host}
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		hosts = append(hosts, host[:colon])
	} else if port := map[string]string{"https": ":443", "http": ":80"}[scheme]; port != "" {
		hosts = append(hosts, host+port)
	}
	var urls []string
	for _, login := range logins(r) {
		for _, host := range hosts {
			urls = append(urls, scheme+"://"+login+host+path)
		}
	}
	return urls
}

// logins returns what may precede the host in a URL: nothing, and the credentials of the
// request.
func logins(r *Request) []string {
	list := []string{""}
	encoded, ok := cutFold(firstHeader(r.Header, "Authorization"), "Basic ")
	if raw, err := base64.StdEncoding.DecodeString(encoded); ok && err == nil {
		list = append(list, string(raw)+"@")
	}
	return list
}

// twilioBody returns the part of a body that Twilio signs: in a form, each name with its
// values. Any other body is covered by its hash in the signed URL.
// (https://www.twilio.com/docs/usage/security)
func twilioBody(r *Request) ([]byte, error) {
	if want, ok := query(r)["bodySHA256"]; ok {
		sum := sha256.Sum256(r.Body)
		if len(want) != 1 || subtle.ConstantTimeCompare([]byte(want[0]), []byte(hex.EncodeToString(sum[:]))) != 1 {
			return nil, forged()
		}
		return nil, nil
	}
	if mediaType(r) != formType {
		return nil, malformed("the body is not a form, and the URL has no bodySHA256")
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return nil, malformed("the form is malformed")
	}
	return signedForm(form), nil
}

// signedForm returns each name of a form with its values, without delimiters.
func signedForm(form url.Values) (signed []byte) {
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := form[name]
		slices.Sort(values)
		for _, value := range slices.Compact(values) {
			signed = append(append(signed, name...), value...)
		}
	}
	return signed
}

package provider

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"
)

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
	encoded, ok := cutFold(first(r.Header, "Authorization"), "Basic ")
	if raw, err := base64.StdEncoding.DecodeString(encoded); ok && err == nil {
		list = append(list, string(raw)+"@")
	}
	return list
}

// hubSpotURLs returns the URL unchanged, and with two sets of escapes decoded, because sources
// disagree on which ones HubSpot decodes. Each form needs a valid signature, so trying several
// does not weaken the check.
// (https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation)
func hubSpotURLs(r *Request) []string {
	raw := r.URL
	if !strings.Contains(raw, "%") {
		return []string{raw}
	}
	some := unescape(raw, ":/?@!$'()*,;")
	return slices.Compact([]string{raw, some, unescape(some, "&=+`\"><")})
}

// unescape decodes the percent escapes of the given characters only.
func unescape(s, chars string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if raw, err := hex.DecodeString(s[i+1 : i+3]); err == nil && strings.IndexByte(chars, raw[0]) >= 0 {
				b.WriteByte(raw[0])
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
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
	if mediaType(r) != "application/x-www-form-urlencoded" {
		return nil, malformed("the body is not a form, and the URL has no bodySHA256")
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return nil, malformed("the form is malformed")
	}
	var signed []byte
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := form[name]
		slices.Sort(values)
		for _, value := range slices.Compact(values) {
			signed = append(append(signed, name...), value...)
		}
	}
	return signed, nil
}

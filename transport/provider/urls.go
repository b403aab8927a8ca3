package provider

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// withPort returns a URL as it is, and with its default port written or left out: Twilio's
// documentation says one, and its servers do either.
func withPort(raw string) []string {
	scheme, rest, ok := strings.Cut(raw, "://")
	port := map[string]string{"https": ":443", "http": ":80"}[scheme]
	if !ok || port == "" {
		return []string{raw}
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, path := rest[:end], rest[end:]
	if bare, ok := strings.CutSuffix(host, port); ok {
		return []string{raw, scheme + "://" + bare + path}
	}
	if strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']') {
		return []string{raw}
	}
	return []string{raw, scheme + "://" + host + port + path}
}

// hubSpotURLs returns a URL as it is, and with those escapes decoded that one source or
// another says HubSpot decodes. Every writing has to be signed like the others, so none
// of them weakens the check.
// (https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation)
func hubSpotURLs(raw string) []string {
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

// twilioBody returns what Twilio signs of a body: of a form, each name with its values;
// of any other, nothing, but then its hash is in the URL, which is signed.
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
		return nil, malformed("neither a form nor a URL with bodySHA256")
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

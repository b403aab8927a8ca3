package webhook

import (
	"net/http"
	"slices"
	"strings"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// metadata describes the request for its events.
func (x *exchange) metadata(private []string, d *provider.Delivery) *transport.Delivery {
	return &transport.Delivery{
		Provider: x.from.Name, Header: publicHeader(x.r.Header, private), Proof: d.Proof, Key: max(d.Key, 0), Tenant: d.Tenant,
	}
}

// publicHeader returns a copy of h without private fields.
func publicHeader(h http.Header, private []string) http.Header {
	hop := hopFields(h)
	public, lines := make(http.Header, len(h)), make([]string, 0, len(h))
	for name, values := range h {
		if slices.Contains(private, name) || isPrivate(name) || hop[name] {
			continue
		}
		at := len(lines)
		lines = append(lines, values...)
		public[name] = lines[at:len(lines):len(lines)]
	}
	return public
}

// isPrivate reports whether a header authenticates the sender, belongs to the connection (RFC 9110,
// section 7.6.1) or the transfer. name is in canonical form, in which every word starts with a
// capital letter.
func isPrivate(name string) bool {
	switch name {
	case "Content-Type", "User-Agent", "I-Twilio-Idempotency-Token":
		return false
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Accept-Encoding", "Content-Length", "Content-Encoding", "Expect":
		return true
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c >= 'A' && c <= 'Z' && isSecretWord(name[i:]) {
			return true
		}
	}
	return false
}

// isSecretWord reports whether s starts with a word that names a secret.
func isSecretWord(s string) bool {
	switch s[0] {
	case 'A':
		return strings.HasPrefix(s, "Authorization") || strings.HasPrefix(s, "Api-Key") || strings.HasPrefix(s, "Apikey")
	case 'C':
		return strings.HasPrefix(s, "Cookie")
	case 'H':
		return strings.HasPrefix(s, "Hmac")
	case 'P':
		return strings.HasPrefix(s, "Password")
	case 'S':
		return strings.HasPrefix(s, "Signature") || strings.HasPrefix(s, "Secret") || s == "Sig"
	case 'T':
		return strings.HasPrefix(s, "Token")
	case 'V':
		return strings.HasPrefix(s, "Verification")
	}
	return false
}

// hopFields returns the fields that the Connection header names, which belong to the connection
// alone (RFC 9110, section 7.6.1), or nil if there are none.
func hopFields(h http.Header) map[string]bool {
	var names map[string]bool
	for _, line := range h["Connection"] {
		for line != "" {
			var option string
			option, line, _ = strings.Cut(line, ",")
			option = strings.Trim(option, " \t")
			if option == "" || strings.EqualFold(option, "keep-alive") || strings.EqualFold(option, "close") {
				continue
			}
			if names == nil {
				names = make(map[string]bool)
			}
			names[http.CanonicalHeaderKey(option)] = true
		}
	}
	return names
}

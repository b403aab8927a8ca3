package transport

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/steadfeed/steadfeed/transport/provider"
)

// The metadata that a Webhook adds to a message.
const (
	headerProvider = "Steadfeed-Provider"
	headerProof    = "Steadfeed-Proof"
	headerKey      = "Steadfeed-Key"
)

// metadata is the header of a request as it goes with its events: a copy, without what is
// private, and with what was found out about it.
func (x *exchange) metadata(private string, d *provider.Delivery) http.Header {
	type field struct {
		name   string
		values []string
	}
	var room [24]field
	fields, n := room[:0], 0
	for name, values := range x.r.Header {
		if name != private && !isPrivate(name) {
			fields = append(fields, field{name, values})
			n += len(values)
		}
	}
	all := x.lines.room(n + 3)
	m := make(http.Header, len(fields)+2) // up to 8 are in one piece
	for _, f := range fields {
		all = append(all, f.values...)
		m[f.name] = all[len(all)-len(f.values) : len(all) : len(all)]
	}
	add := func(name, value string) {
		all = append(all, value)
		m[name] = all[len(all)-1 : len(all) : len(all)]
	}
	add(headerProvider, x.from.Name)
	add(headerProof, proofName(d.Proof))
	if d.Key > 0 {
		add(headerKey, strconv.Itoa(d.Key))
	}
	return m
}

// lines is room for values of headers.
type lines []string

// room returns some for n values, which several headers have in one allocation.
func (l *lines) room(n int) []string {
	if n > valuesAtOnce/4 {
		return make([]string, 0, n)
	}
	if len(*l) < n {
		*l = make([]string, valuesAtOnce)
	}
	v := (*l)[:0:n]
	*l = (*l)[n:]
	return v
}

const valuesAtOnce = 128

func proofName(p provider.Proof) string {
	switch p {
	case provider.ProofBody:
		return "body"
	case provider.ProofMetadata:
		return "metadata"
	case provider.ProofBearer:
		return "bearer"
	}
	return "none"
}

// isPrivate tells whether a header authenticates the sender, belongs to the connection
// (RFC 9110, section 7.6.1) or the transfer, or is ours. name is in canonical form, in
// which every word begins with a capital.
func isPrivate(name string) bool {
	switch name {
	case "Content-Type", "User-Agent", "I-Twilio-Idempotency-Token":
		return false
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Accept-Encoding", "Content-Length", "Expect",
		headerProvider, headerProof, headerKey:
		return true
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c >= 'A' && c <= 'Z' && isSecretWord(name[i:]) {
			return true
		}
	}
	return false
}

// isSecretWord tells whether s begins with a word that names something secret.
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

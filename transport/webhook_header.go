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
func metadata(h http.Header, p *provider.Provider, d *provider.Delivery) http.Header {
	n := 3
	for _, values := range h {
		n += len(values)
	}
	all := make([]string, 0, n) // the values of every name
	m := make(http.Header, len(h)+3)
	for name, values := range h {
		if isPrivate(name) {
			continue
		}
		all = append(all, values...)
		m[name] = all[len(all)-len(values) : len(all) : len(all)]
	}
	add := func(name, value string) {
		all = append(all, value)
		m[name] = all[len(all)-1 : len(all) : len(all)]
	}
	add(headerProvider, p.Name)
	add(headerProof, proofName(d.Proof))
	if d.Key >= 0 {
		add(headerKey, strconv.Itoa(d.Key))
	}
	return m
}

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
// (RFC 9110, section 7.6.1), or is ours. name is in canonical form.
func isPrivate(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	case headerProvider, headerProof, headerKey:
		return true
	case "I-Twilio-Idempotency-Token":
		return false
	}
	for _, part := range []string{"Authorization", "Cookie", "Signature", "Hmac", "Token", "Secret", "Verification"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return strings.HasSuffix(name, "-Sig")
}

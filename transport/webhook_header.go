package transport

import (
	"net/http"
	"slices"
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
func (x *exchange) metadata(private []string, d *provider.Delivery) Header {
	h := x.fields.room(len(x.r.Header) + 3)
	hop := hopFields(x.r.Header)
	for name, values := range x.r.Header {
		if slices.Contains(private, name) || isPrivate(name) || hop[name] {
			continue
		}
		for _, value := range values {
			h = append(h, HeaderField{name, value})
		}
	}
	h = append(h, HeaderField{headerProvider, x.from.Name}, HeaderField{headerProof, proofName(d.Proof)})
	if d.Key > 0 {
		h = append(h, HeaderField{headerKey, strconv.Itoa(d.Key)})
	}
	return x.fields.keep(h)
}

// fields is room for the fields of many headers in one allocation.
type fields []HeaderField

// room returns an empty header with room for n fields, which others have as well until keep
// is called.
func (f *fields) room(n int) Header {
	if n > fieldsAtOnce/4 {
		return make(Header, 0, n)
	}
	if len(*f) < n {
		*f = make(fields, fieldsAtOnce)
	}
	return Header((*f)[:0:len(*f)])
}

// keep makes h, which began in room, nobody else's.
func (f *fields) keep(h Header) Header {
	if len(h) <= len(*f) && &h[0] == &(*f)[0] {
		*f = (*f)[len(h):]
	}
	return h[:len(h):len(h)]
}

const fieldsAtOnce = 128

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

// hopFields returns the fields that a request's Connection header says are of the connection
// alone (RFC 9110, section 7.6.1), nil if it does not name any.
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

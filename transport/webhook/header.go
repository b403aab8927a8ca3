package webhook

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// The fields that a Receiver adds to the header of a message.
const (
	headerProvider = "Steadfeed-Provider"
	headerProof    = "Steadfeed-Proof"
	headerKey      = "Steadfeed-Key"
)

// metadata returns the header for the events of a request: a copy without private fields, and with
// the fields that a Receiver adds.
func (x *exchange) metadata(private []string, d *provider.Delivery) transport.Header {
	h := x.fields.room(len(x.r.Header) + 3)
	hop := hopFields(x.r.Header)
	for name, values := range x.r.Header {
		if slices.Contains(private, name) || isPrivate(name) || hop[name] {
			continue
		}
		for _, value := range values {
			h = append(h, transport.HeaderField{Name: name, Value: value})
		}
	}
	h = append(h, transport.HeaderField{Name: headerProvider, Value: x.from.Name}, transport.HeaderField{Name: headerProof, Value: proofName(d.Proof)})
	if d.Key > 0 {
		h = append(h, transport.HeaderField{Name: headerKey, Value: strconv.Itoa(d.Key)})
	}
	return x.fields.keep(h)
}

// fields is storage for the fields of many headers in one allocation.
type fields []transport.HeaderField

// room returns an empty header with room for at least n fields. The room is shared until keep is
// called.
func (f *fields) room(n int) transport.Header {
	if n > fieldsAtOnce/4 {
		return make(transport.Header, 0, n)
	}
	if len(*f) < n {
		*f = make(fields, fieldsAtOnce)
	}
	return transport.Header((*f)[:0:len(*f)])
}

// keep gives h, which was appended to the result of room, its part of the storage.
func (f *fields) keep(h transport.Header) transport.Header {
	if len(h) <= len(*f) && &h[0] == &(*f)[0] {
		*f = (*f)[len(h):]
	}
	return h[:len(h):len(h)]
}

const fieldsAtOnce = 128

func proofName(p transport.Proof) string {
	switch p {
	case transport.ProofBody:
		return "body"
	case transport.ProofMetadata:
		return "metadata"
	case transport.ProofBearer:
		return "bearer"
	}
	return "none"
}

// isPrivate reports whether a header authenticates the sender, belongs to the connection (RFC 9110,
// section 7.6.1) or the transfer, or is one that a Receiver sets. name is in canonical form, in
// which every word starts with a capital letter.
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

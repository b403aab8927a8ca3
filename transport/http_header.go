package transport

import (
	"fmt"
	"net/http"
	"strings"
)

// checkHeader reports a header that cannot be sent. The error does not contain values.
func checkHeader(h http.Header) error {
	for name, values := range h {
		if !isToken(name) {
			return fmt.Errorf("%q is not a valid header name", name)
		}
		for _, v := range values {
			if !isFieldValue(v) {
				return fmt.Errorf("the value of %s contains control bytes", name)
			}
		}
	}
	return nil
}

// canonical copies h under the names that net/http uses. It keeps a name without values, which
// suppresses that header.
func canonical(h http.Header) http.Header {
	c := make(http.Header, len(h)+4)
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		c[name] = append(c[name], values...)
	}
	return c
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2), such as a method or a header
// name.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		alnum := '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isFieldValue reports whether net/http sends s as the value of a header: it must not contain
// control bytes except tabs.
func isFieldValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

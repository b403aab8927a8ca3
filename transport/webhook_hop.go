package transport

import (
	"net/http"
	"strings"
)

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

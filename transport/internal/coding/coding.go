// Package coding reads Content-Encoding headers.
package coding

import (
	"net/http"
	"strings"
)

// List returns the codings of a body in lower case, in the order of application (RFC 9110,
// section 8.4). Some peers write "none" or a charset if they apply none.
func List(h http.Header) (codings []string) {
	for _, line := range h["Content-Encoding"] {
		for c := range strings.SplitSeq(line, ",") {
			switch c = strings.ToLower(strings.Trim(c, " \t")); c {
			case "", "identity", "none", "utf-8", "utf8":
			default:
				codings = append(codings, c)
			}
		}
	}
	return codings
}

package transport

import (
	"net/http"
	"strings"
)

// contentCodings returns the codings of a body in lower case, in the order in which they were
// applied (RFC 9110, section 8.4). "none" and a charset are what some peers write that apply
// none.
func contentCodings(h http.Header) (codings []string) {
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

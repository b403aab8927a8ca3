package provider

import "net/http"

// answerHEAD answers the HEAD request by which some senders check that a URL exists, before they
// save it.
func answerHEAD(r *Request) (*Answer, bool) {
	if r.Method != http.MethodHead {
		return nil, false
	}
	return &Answer{Status: http.StatusOK}, true
}

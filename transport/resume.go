package transport

import (
	"net/http"
	"net/url"
	"strings"
)

// A Resume puts the token of the last event received on a request that is about to be
// sent. It changes req only, and may be called more than once on the way to one
// connection: for each request after a redirect. An error ends the feed, but one whose method
// RejectsToken returns true drops the position: the feed goes on without it, after a Gap.
type Resume func(req *http.Request, token string) error

// ResumeHeader sends the token in a header, as raw UTF-8 (WHATWG HTML, section 9.2.5).
// A token that holds control bytes cannot be sent like that and is a *TokenError, which
// rejects the token.
func ResumeHeader(name string) Resume {
	return func(req *http.Request, token string) error {
		if !isFieldValue(token) {
			return &TokenError{Header: name}
		}
		req.Header.Set(name, token)
		return nil
	}
}

// ResumeQuery sends the token as a parameter of the query. It replaces what the query
// holds under that name and leaves everything else as it is written.
func ResumeQuery(name string) Resume {
	return func(req *http.Request, token string) error {
		var kept []string
		for _, pair := range strings.Split(req.URL.RawQuery, "&") {
			key, _, _ := strings.Cut(pair, "=")
			if k, err := url.QueryUnescape(key); pair == "" || err == nil && k == name {
				continue
			}
			kept = append(kept, pair)
		}
		kept = append(kept, url.QueryEscape(name)+"="+url.QueryEscape(token))
		req.URL.RawQuery = strings.Join(kept, "&")
		return nil
	}
}

// A TokenError is a token that cannot be put into a header because it holds control
// bytes, such as a line end. The token itself is not shown.
type TokenError struct {
	Header string // name of the header
}

func (e *TokenError) Error() string {
	return "transport: the token holds control bytes and cannot be sent in header " + e.Header +
		": use ResumeQuery, or a token without them"
}

// RejectsToken returns true: no later attempt can resume from this position.
func (e *TokenError) RejectsToken() bool { return true }

// A PositionError is an error by which a server rejects the token that it was given and
// names another one, such as a watch of etcd that has compact_revision. Control, or a
// Transport, returns it. The client resumes after that token, or from no position if it is
// empty, and puts a [Gap] with the reason [TokenRejected] on the next event. A token that
// is rejected in turn and named again is not presented again.
type PositionError interface {
	error
	// RejectsToken reports whether the token is rejected. If not, ResumeAfter is not
	// called.
	RejectsToken() bool
	// ResumeAfter returns the token to resume after, "" for none. An event that the
	// server names as the first one that it has is one after that.
	ResumeAfter() string
}

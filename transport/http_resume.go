package transport

import (
	"net/http"
	"net/url"
	"strings"
)

// A Resume puts the token of the last received event on a request that is about to be sent. It
// changes only req, and may be called several times for one connection: once for each request
// after a redirect. An error ends the feed, unless it has a method RejectsToken that returns
// true: then the position is dropped and the feed continues without it, after a Gap.
type Resume func(req *http.Request, token string) error

// ResumeHeader sends the token in a header, as raw UTF-8 (WHATWG HTML, section 9.2.5). A token
// that contains control bytes cannot be sent in a header: the error is a *TokenError, which
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

// ResumeQuery sends the token as a query parameter. It replaces any parameter of that name and
// leaves the rest of the query as it is.
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

// A TokenError reports a token that cannot be put into a header because it contains control
// bytes, such as a line end. The token itself is not shown.
type TokenError struct {
	Header string // name of the header
}

func (e *TokenError) Error() string {
	return "transport: token contains control bytes and cannot be sent in header " + e.Header +
		": use ResumeQuery or a token without them"
}

// RejectsToken returns true: no later attempt can resume from this position.
func (e *TokenError) RejectsToken() bool { return true }

// A PositionError is an error by which a server rejects the presented token and names another
// one, such as the compact_revision of an etcd watch. OnMessage or a Transport returns it. The
// client resumes after the named token, or without a position if that is empty, and puts a
// [Gap] with the reason [GapTokenRejected] on the next event. A token that is rejected in turn and
// named again is not presented again.
type PositionError interface {
	error
	// RejectsToken reports whether the token is rejected. If not, ResumeAfter is not called.
	RejectsToken() bool
	// ResumeAfter returns the token to resume after, or "" for none. If the server names the
	// first event that it has, that is the event after this token.
	ResumeAfter() string
}

package transport

import "net/http"

// A protocol is what the request of an HTTP feed and the handshake of a WebSocket do differently.
type protocol interface {
	// addHeader adds the headers of the protocol that h does not have.
	addHeader(h http.Header)
	// restore undoes what Prepare must not change, and completes the request.
	restore(req *http.Request)
	// rejectsCredentials reports whether a status means that the credentials are not accepted.
	rejectsCredentials(status int) bool
	// switches reports whether after a status the body is a connection, which its reader closes.
	switches(status int) bool
	// httpURL returns a URL of the protocol with the scheme http or https.
	httpURL(url string) string
	// origin returns an http or https origin with the protocol's scheme.
	origin(o string) string
}

// feedProtocol is the protocol of an HTTP feed.
type feedProtocol struct{ attempt *attempt }

func (p feedProtocol) addHeader(h http.Header) {
	for name, value := range map[string]string{
		"Accept":          p.attempt.feed.accept(),
		"Accept-Encoding": p.attempt.acceptEncoding(),
		"Cache-Control":   "no-cache",
	} {
		if _, set := h[name]; !set && value != "" {
			h.Set(name, value)
		}
	}
}

func (feedProtocol) restore(*http.Request)              {}
func (feedProtocol) rejectsCredentials(status int) bool { return status == http.StatusUnauthorized }
func (feedProtocol) switches(int) bool                  { return false }
func (feedProtocol) httpURL(url string) string          { return url }
func (feedProtocol) origin(o string) string             { return o }

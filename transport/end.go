package transport

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// An EndPolicy defines what the clean end of a response means to an HTTP feed, and whether the
// request may be sent again once the response has started.
//
// Once its response has started, a POST is not repeated unless EndReconnect allows it: it may
// request a second reply from a language model, or repeat another side effect. A POST that only
// subscribes, such as those of etcd, Centrifugo's http_stream and graphql-sse, has no side effect
// and needs EndReconnect. No media type distinguishes the two. With HTTP.ResumeByGet, a GET
// continues the response once there was a token.
type EndPolicy uint8

const (
	// EndByMethod is EndReconnect for GET and EndFeed for any other method. With HTTP.ResumeByGet
	// it is EndUnexpected.
	EndByMethod EndPolicy = iota

	// EndReconnect means that the server ended the connection and not the feed: Read returns
	// io.EOF, and the request may be sent again.
	EndReconnect

	// EndFeed means that the body is the complete reply: Read returns ErrComplete. The request is
	// not sent again: if the connection breaks, the error has a method Retryable that returns
	// false.
	EndFeed

	// EndUnexpected is EndFeed for a reply that marks its own end: it is complete only once
	// OnMessage has returned ErrComplete. A body that ends before that is io.ErrUnexpectedEOF, unless
	// HTTP.ResumeByGet continues it.
	EndUnexpected
)

// ends reports whether the response is the whole feed.
func (h *HTTP) ends() bool {
	if h.End == EndByMethod {
		return h.method() != http.MethodGet
	}
	return h.End != EndReconnect
}

// isReplaceable reports whether another request may follow while the response continues.
func (h *HTTP) isReplaceable() bool { return h.ResumeByGet || !h.ends() }

// atEOF returns what the clean end of the body means.
func (h *HTTP) atEOF(origin string) error {
	switch {
	case h.End == EndUnexpected, h.End == EndByMethod && h.ResumeByGet:
		return h.once(&failed{origin, fmt.Errorf("%w: body ended before OnMessage returned ErrComplete", io.ErrUnexpectedEOF)})
	case !h.ends():
		return io.EOF
	case h.End == EndByMethod:
		return &endByMethod{h.method()}
	}
	return ErrComplete
}

// once makes err final if the response has started and the request must not be sent again.
func (h *HTTP) once(err error) error {
	if !h.ends() || errors.Is(err, ErrComplete) {
		return err
	}
	var retryable interface{ Retryable() bool }
	if h.End != EndByMethod || h.ResumeByGet || errors.As(err, &retryable) && !retryable.Retryable() {
		return &final{err}
	}
	return &unrepeated{final{err}, h.method()}
}

// endByMethod is ErrComplete with the reason why the end of the body is the end of the feed.
type endByMethod struct{ method string }

func (e *endByMethod) Error() string {
	return "transport: the response to a " + e.method + " is complete: set HTTP.End to EndReconnect if the feed continues"
}

func (e *endByMethod) Unwrap() error { return ErrComplete }

// unrepeated is a failure that is final only because of the method.
type unrepeated struct {
	final
	method string
}

func (e *unrepeated) Error() string {
	return e.final.Error() + " (a " + e.method + " is not sent again once its response has started: set HTTP.End to EndReconnect if it only subscribes)"
}

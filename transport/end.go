package transport

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// EOF defines what the clean end of a response means to an HTTP feed, and whether the request
// may be sent again once the response has started.
//
// Once its response has started, a POST is not repeated unless EOFReconnects allows it: it may
// request a second reply from a language model, or repeat another side effect. A POST that only
// subscribes, such as those of etcd, Centrifugo's http_stream and graphql-sse, has no side effect
// and needs EOFReconnects. No media type distinguishes the two.
type EOF uint8

const (
	// EOFByMethod is EOFReconnects for GET and EOFEnds for any other method.
	EOFByMethod EOF = iota

	// EOFReconnects means that the server ended the connection and not the feed: Read returns
	// io.EOF, and the request may be sent again.
	EOFReconnects

	// EOFEnds means that the body is the complete reply: Read returns ErrEnd. The request is
	// not sent again: if the connection breaks, the error has a method Retryable that returns
	// false.
	EOFEnds

	// EOFUnexpected is EOFEnds for a reply that marks its own end: it is complete only once
	// Control has returned ErrEnd. A body that ends before that is io.ErrUnexpectedEOF.
	EOFUnexpected
)

// ends reports whether the response is the whole feed.
func (h *HTTP) ends() bool {
	if h.EOF == EOFByMethod {
		return h.method() != http.MethodGet
	}
	return h.EOF != EOFReconnects
}

// atEOF returns what the clean end of the body means.
func (h *HTTP) atEOF(origin string) error {
	switch {
	case h.EOF == EOFUnexpected:
		return h.once(&failed{origin, fmt.Errorf("%w: body ended before Control returned ErrEnd", io.ErrUnexpectedEOF)})
	case !h.ends():
		return io.EOF
	case h.EOF == EOFByMethod:
		return &endByMethod{h.method()}
	}
	return ErrEnd
}

// once makes err final if the response has started and the request must not be sent again.
func (h *HTTP) once(err error) error {
	if !h.ends() || errors.Is(err, ErrEnd) {
		return err
	}
	var says interface{ Retryable() bool }
	if h.EOF != EOFByMethod || errors.As(err, &says) && !says.Retryable() {
		return &final{err}
	}
	return &unrepeated{final{err}, h.method()}
}

// endByMethod is ErrEnd with the reason why the end of the body is the end of the feed.
type endByMethod struct{ method string }

func (e *endByMethod) Error() string {
	return "transport: the response to a " + e.method + " is complete: set HTTP.EOF to EOFReconnects if the feed continues"
}

func (e *endByMethod) Unwrap() error { return ErrEnd }

// unrepeated is a failure that is final only because of the method.
type unrepeated struct {
	final
	method string
}

func (e *unrepeated) Error() string {
	return e.final.Error() + " (a " + e.method + " is not sent again once its response has started: set HTTP.EOF to EOFReconnects if it only subscribes)"
}

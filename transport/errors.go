package transport

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"time"
)

// maxErrorBody is how much of a response that is no feed an error keeps.
const maxErrorBody = 4 << 10

// A StatusError is a response with a status of 400 or above. Its text shows the first 160
// bytes of a body that is text and not HTML, without what the request held: position, path,
// query, credentials and header values. A server can write anything else there.
type StatusError struct {
	Code   int
	Header http.Header // of the response
	Body   []byte      // its beginning, at most 4 KiB
	Origin string      // scheme and host that answered, ws or wss for a WebSocket; or the proxy's

	// Resuming says that the request named a position to resume from.
	Resuming bool

	proxy    bool   // it is a proxy's
	withheld bool   // a redirect led here, without the caller's header and credentials
	remark   string // what the text shows of Body
}

func (e *StatusError) Error() string {
	peer := e.Origin
	if e.proxy {
		peer = "proxy " + peer
	}
	text := fmt.Sprintf("transport: %s: status %s", peer, status(e.Code))
	if e.remark != "" {
		text += fmt.Sprintf(": %q", e.remark)
	}
	if e.withheld {
		text += " (redirected here without header and credentials: the origin is not trusted)"
	}
	return text
}

// StatusCode returns Code.
func (e *StatusError) StatusCode() int { return e.Code }

// RejectsToken tells whether the server no longer knows the position that the request
// named: 410 (RFC 9110, section 15.5.11) in answer to a token.
func (e *StatusError) RejectsToken() bool { return e.Code == http.StatusGone && e.Resuming }

// statusEnhanceYourCalm is how X says 429 in its older interfaces.
const statusEnhanceYourCalm = 420

// A ProtocolError is a peer that answers, but not with a feed: an HTML page, a status
// without a meaning here, a loop of redirects, an encoding that was not asked for. A proxy
// may have answered instead, so that a later attempt can succeed.
type ProtocolError struct {
	Reason string
	Origin string      // scheme and host that answered
	Header http.Header // of the response
	Body   []byte      // its beginning, at most 4 KiB
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("transport: %s: %s", e.Origin, e.Reason)
}

// Protocol returns true.
func (e *ProtocolError) Protocol() bool { return true }

// A TimeoutError is a peer that kept silent for too long.
type TimeoutError struct {
	// Op is what did not come in time: "header", a response; "idle", a byte on an open
	// connection; and of a WebSocket "hello", the end of Hello; "pong", any sign of life
	// after a ping; "heartbeat", the answer to one; "message", a message; "write", space
	// for what is sent.
	Op    string
	After time.Duration

	compressor bool // may hold back what the peer has sent
}

func (e *TimeoutError) Error() string {
	if e.compressor {
		return e.text() + " (gzip was offered, and a server that does not flush its compressor sends nothing: the next attempt offers none)"
	}
	return e.text()
}

func (e *TimeoutError) text() string {
	switch e.Op {
	case "header":
		return fmt.Sprintf("transport: no response header within %v", e.After)
	case "hello":
		return fmt.Sprintf("transport: Hello has not returned within %v", e.After)
	case "pong":
		return fmt.Sprintf("transport: no byte within %v of a ping", e.After)
	case "heartbeat":
		return fmt.Sprintf("transport: a heartbeat was not answered within %v", e.After)
	case "message":
		return fmt.Sprintf("transport: no message for %v", e.After)
	case "write":
		return fmt.Sprintf("transport: the peer has not taken what was sent within %v", e.After)
	}
	return fmt.Sprintf("transport: no byte for %v", e.After)
}

// Timeout returns true.
func (e *TimeoutError) Timeout() bool { return true }

// errClosed is what a Read gets whose connection was closed by Close.
var errClosed = fmt.Errorf("transport: %w", net.ErrClosed)

// final is a failure that no further attempt can mend, or that must not be answered
// with one.
type final struct{ err error }

func (e *final) Error() string   { return e.err.Error() }
func (e *final) Unwrap() error   { return e.err }
func (e *final) Retryable() bool { return false }

// failed is a failure of the network or of a function of the user's.
type failed struct {
	what string
	err  error
}

func (e *failed) Error() string { return "transport: " + e.what + ": " + redact(e.err) }
func (e *failed) Unwrap() error { return e.err }

// redact is the text of err, but of a URL in it no more than the origin: the text of a
// *url.Error, which is what a http.Client returns, has the query in it. That of a
// textproto.ProtocolError has the header line that could not be read.
func redact(err error) string {
	var pe textproto.ProtocolError
	if errors.As(err, &pe) {
		return "malformed header"
	}
	var ue *url.Error
	if !errors.As(err, &ue) || ue.Err == nil {
		return err.Error()
	}
	where := "request"
	if u, perr := url.Parse(ue.URL); perr == nil && u.Host != "" {
		where = originOf(u)
	}
	return where + ": " + redact(ue.Err)
}

func status(code int) string {
	if text := http.StatusText(code); text != "" {
		return fmt.Sprintf("%d %s", code, text)
	}
	return fmt.Sprint(code)
}

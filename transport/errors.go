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

// maxErrorBody is how many bytes of a response that is not a feed an error keeps.
const maxErrorBody = 4 << 10

// A StatusError is a response with a status of 400 or above. Its text shows the first 160 bytes
// of a body that is text and not HTML. What the request contained is removed from it: position,
// path, query, credentials and header values. Anything else that the server writes is shown.
type StatusError struct {
	Code   int
	Header http.Header // of the response
	Body   []byte      // its beginning, at most 4 KiB
	Origin string      // scheme and host of the sender, ws or wss for a WebSocket; or of the proxy

	// Resuming reports whether the request named a position to resume from.
	Resuming bool

	proxy    bool   // sent by a proxy
	withheld bool   // a redirect led here, without the caller's headers and credentials
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
		text += " (redirected without headers and credentials: the origin is not in TrustedOrigins)"
	}
	return text
}

// StatusCode returns Code.
func (e *StatusError) StatusCode() int { return e.Code }

// RejectsToken reports whether the server no longer knows the position that the request named:
// status 410 (RFC 9110, section 15.5.11) in response to a token.
func (e *StatusError) RejectsToken() bool { return e.Code == http.StatusGone && e.Resuming }

// statusEnhanceYourCalm is 429 in X's older APIs.
const statusEnhanceYourCalm = 420

// A ProtocolError reports a peer that responds, but not with a feed: an HTML page, an
// unexpected status, too many redirects, an encoding that was not offered. A proxy may have
// sent the response, so a later attempt can succeed.
type ProtocolError struct {
	Reason string
	Origin string      // scheme and host of the sender
	Header http.Header // of the response
	Body   []byte      // its beginning, at most 4 KiB
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("transport: %s: %s", e.Origin, e.Reason)
}

// Protocol returns true.
func (e *ProtocolError) Protocol() bool { return true }

// A TimeoutError reports a peer that was silent for too long.
type TimeoutError struct {
	// Op is what did not happen in time. The last five are a WebSocket's.
	//
	//	header     the response header arrived
	//	idle       a byte arrived on an open connection
	//	page       a page of a Poll arrived in full
	//	connect    OnConnect returned
	//	pong       a byte arrived after a ping
	//	heartbeat  a heartbeat was acknowledged
	//	message    a message arrived
	//	write      the peer accepted sent data
	Op     string
	After  time.Duration
	Origin string // scheme and host of the peer, ws or wss for a WebSocket

	compressor bool // a compressor may hold back what the peer has sent
}

func (e *TimeoutError) Error() string {
	text := "transport: "
	if e.Origin != "" {
		text += e.Origin + ": "
	}
	text += e.text()
	if e.compressor {
		text += " (the server may not flush its compressor: the next attempt offers no compression)"
	}
	return text
}

func (e *TimeoutError) text() string {
	switch e.Op {
	case "header":
		return fmt.Sprintf("no response header within %v (HeaderTimeout, or HandshakeTimeout of a WebSocket)", e.After)
	case "page":
		return fmt.Sprintf("no complete page within %v (Timeout)", e.After)
	case "connect":
		return fmt.Sprintf("OnConnect did not return within %v (OnConnectTimeout)", e.After)
	case "pong":
		return fmt.Sprintf("no data within %v of a ping (twice PongTimeout)", e.After)
	case "heartbeat":
		return fmt.Sprintf("heartbeat not acknowledged within %v (Socket.HeartbeatAcked was not called)", e.After)
	case "message":
		return fmt.Sprintf("no message for %v (IdleTimeout)", e.After)
	case "write":
		return fmt.Sprintf("peer accepted no data for %v", e.After)
	}
	return fmt.Sprintf("no data for %v (IdleTimeout)", e.After)
}

// Timeout returns true.
func (e *TimeoutError) Timeout() bool { return true }

// errClosed is returned by a Read whose connection was closed by Close.
var errClosed = fmt.Errorf("transport: %w", net.ErrClosed)

// final is a failure that another attempt cannot repair or must not follow.
type final struct{ err error }

func (e *final) Error() string   { return e.err.Error() }
func (e *final) Unwrap() error   { return e.err }
func (e *final) Retryable() bool { return false }

// failed is a failure of the network or of a caller's function.
type failed struct {
	what string
	err  error
}

func (e *failed) Error() string { return "transport: " + e.what + ": " + redact(e.err) }
func (e *failed) Unwrap() error { return e.err }

// redact returns the text of err with at most the origin of a URL. The text of a *url.Error,
// which an http.Client returns, contains the query; that of a textproto.ProtocolError contains
// the header line that could not be parsed.
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

package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

const (
	defaultHeaderTimeout = 30 * time.Second
	defaultPingInterval  = 30 * time.Second
	dialTimeout          = 10 * time.Second
)

// HTTP is a feed in the body of a long-lived HTTP response, such as server-sent events or
// delimited JSON. Only URL is required:
//
//	feed := &transport.HTTP{URL: "https://stream.wikimedia.org/v2/stream/recentchange"}
//
// The media type of the response selects the framing, unless Format does. A reconnect sends the
// last token in the header Last-Event-ID, unless Resume puts it elsewhere. Prepare sets fresh
// credentials on each request. OnMessage recognizes events that report an error or the end of the
// feed, as in the Kubernetes example of client.Subscribe. A POST that subscribes needs End.
//
// Use it as *HTTP and do not change it once it is in use. Open may be called from several
// goroutines at once.
//
// # Requests
//
// Every request is built from copies of the fields. It has "Cache-Control: no-cache", an Accept
// of the expected framings, and an Accept-Encoding of gzip and Decoders, unless Header sets
// them.
//
// A server that does not flush its compressor seems silent. So if a response header, or the
// first message of a compressed response, does not arrive in time, one attempt offers no
// compression. If that brings a message, later attempts of this HTTP offer none either.
//
// # Responses
//
// A response is accepted with status 200, or with another 2xx except 205 and 206, if its media
// type is a feed's. application/json names no framing and is accepted only with 200, unless
// Format is set. 204 is ErrComplete. 401 asks Prepare once for fresh credentials. Any other status
// is a *StatusError (4xx and 5xx) or a *ProtocolError.
//
// # Redirects
//
// Redirects (301, 302, 303, 307, 308) are followed, at most ten in a row. One from https to
// http is refused unless TrustedOrigins lists its target. Each Open starts at URL again.
//
// A redirect to another origin (scheme, host and port) that TrustedOrigins does not list is
// followed without headers, cookies, credentials and token, and so are those after it; a body
// that is sent again keeps its Content-Type and Content-Encoding. If a token was withheld, the
// first message has a Gap.
//
// # Requests that are sent once
//
// ResumeByGet is for a POST whose response can be continued: a call of the Model Context Protocol,
// or a background response of a model API. Once there is a token, attempts are a GET without Body
// and the headers that describe it. Resume puts the token on the GET and may change its URL.
//
// This HTTP sends the POST again only if it did not reach the server or was refused (4xx, 503).
// Otherwise, a response that breaks or ends before the first token is a final error, and so is any
// other Open without a token: another POST needs another HTTP. Not even a Reconnect repeats it. Only
// a process that stops before its checkpoint has a token sends it again when it restarts.
//
// Once there is a token, the response is complete when OnMessage returns ErrComplete, or with
// EndFeed at its clean end; any other end is followed by the GET. If the GET is answered with a 4xx
// or the token is rejected, the rest is lost: the error is final. Exceptions are 401, 408, 409, 421,
// 425, 429 and any 4xx with a Retry-After. The tokens must be the framing's ids or set by OnMessage,
// because client.Options.TokenOf is called later.
type HTTP struct {
	// URL is the address of the feed, http or https. A user and password in it are sent as
	// basic authentication. Required.
	URL string

	// Method is the method of the request. Default: GET.
	Method string

	// Body is sent in full with every attempt. Default: none.
	Body []byte

	// Header is sent with every attempt. "Host" replaces the host of URL. A name without values
	// suppresses that header. Default: none.
	Header http.Header

	// Client provides its Transport and its Jar. Its Timeout, which would cut the stream, and
	// its CheckRedirect are ignored. An http.Transport should send HTTP/2 pings
	// (http.HTTP2Config); otherwise a reconnect may reuse the dead connection. Default: a new
	// Transport for each connection, which is released with it, with 10 s to dial, HTTP/2 if
	// the server supports it, pings, and proxies from the environment.
	Client *http.Client

	// Format is the framing of the body. It applies to any Content-Type except HTML: an error
	// in JSON with status 200 is then read in that framing too, and SSE finds nothing in it.
	// Default: by Content-Type, see decode.Auto.
	Format decode.Format

	// Decoders decode content encodings (RFC 9110, section 8.4.1) in addition to gzip. The keys
	// are their names in lower case, such as "zstd". A decoder is called with a compressed body
	// once its first byte has arrived. Its result is closed with the connection, but never
	// during a Read. Its Read must return what is available without waiting for more, and it
	// must bound its own memory: MaxFrame applies to its output. "gzip" replaces the built-in
	// decoder. Default: gzip only.
	Decoders map[string]func(io.Reader) (io.ReadCloser, error)

	// Resume puts the token on the request. It is not called for an empty token. Default:
	// ResumeHeader("Last-Event-ID").
	Resume Resume

	// ResumeByGet means that a GET resumes the response to another method, usually a POST, and
	// that the request itself is sent once; see above. Default: every attempt sends Method and Body.
	ResumeByGet bool

	// Prepare changes a request just before it is sent, for example to set fresh credentials, a
	// signature or query parameters. It is called for every request to the feed's own origin or
	// a trusted one, including those after a redirect, so it must set values rather than add
	// them. After a 401 the request is repeated once, see CredentialsRejected. The request's
	// context ends with the attempt. An error ends the attempt. Default: none.
	Prepare func(*http.Request) error

	// End defines what a clean end of the body means, and whether the request may be sent again
	// once a response has started. A POST that subscribes needs EndReconnect. Default:
	// EndByMethod.
	End EndPolicy

	// HeaderTimeout limits the time from the start of an attempt to the response header,
	// including dial, TLS, Prepare and redirects. Negative: no limit. Default: 30 s.
	HeaderTimeout time.Duration

	// IdleTimeout limits how long a Read waits without a single byte, keepalives included,
	// before it fails with a *TimeoutError. Time between Reads does not count. Negative: no
	// limit.
	//
	// If it is zero, the limit is learned from the feed's heartbeat. It is 90 s until two
	// keepalives (comments, empty lines, events that OnMessage has made keepalives) have each
	// ended a silence of more than a second on this connection. Keepalives in the first 20 s do
	// not count, because they may be greetings. From then on the limit is three times the
	// longest such silence, at least 20 s. Events do not shorten it, because a burst does not
	// predict the next silence. Default: learned, from 90 s.
	IdleTimeout time.Duration

	// PingInterval is how long an HTTP/2 connection may be silent before it is probed with a
	// PING; the answer may take half as long. It applies if Client has no Transport. Negative:
	// no pings. Default: 30 s.
	PingInterval time.Duration

	// MaxFrame is the maximum size of one event in bytes, after decompression. A larger one is
	// a *decode.FrameError. Negative: no limit. Default: 16 MiB.
	MaxFrame int

	// OnBadFrame is called from Read with each frame that is malformed or larger than MaxFrame,
	// if the framing allows reading to continue. The frame is skipped, and the next message has
	// a Gap with the reason GapBadFrame. Default: a bad frame ends the connection with its
	// *decode.FrameError.
	OnBadFrame func(*decode.FrameError)

	// OnResponse is called from Open with each response that opens the feed, before its first
	// event. It may store what the header contains, such as a session id. A Gap that it returns
	// goes on the first message: use MercureGap for a server that announces a loss in its
	// header. An error ends the connection, like an error of OnMessage. The body of resp is
	// empty. Default: none.
	OnResponse func(resp *http.Response) (*Gap, error)

	// OnMessage is called from Read with each event before it is delivered, and may change it:
	// extract the payload from Data, set ID, Token and Type, add a Gap, set Kind to
	// decode.KindKeepalive (not an event) or decode.KindPosition, or split it into several events
	// with Parts. It must not call methods of the subscription that wait (Close, Commit, Next).
	//
	// An error ends the connection and determines what follows: an error with a method
	// Retryable that returns false, RejectsToken or RetryAfter (see package retry), io.EOF to
	// reconnect, or ErrComplete when the event means that the feed is complete. With ErrComplete,
	// the event is not delivered, but Parts are: set them to the event itself if it is the result.
	// Default: none.
	OnMessage func(m *Message) error

	// TrustedOrigins ("https://host" or "https://host:port") may receive headers, cookies,
	// credentials and token after a redirect. An http origin listed here may also be redirected
	// to from https. Default: only the origin of URL.
	TrustedOrigins []string

	// MaxConnectionAge limits how long a connection is used before it is replaced, less up to a
	// fiftieth at random. It should be below the time after which the server ends it. If that is
	// known only once it is open or by its credentials, see ReplaceBefore. It requires a request
	// that may be sent again: a GET, EndReconnect, or ResumeByGet, with which a connection is
	// replaced once there is a token. Negative: no limit. Default: no limit.
	MaxConnectionAge time.Duration

	// Overlap opens the next connection before this one is closed, when MaxConnectionAge is
	// reached or ReplaceBefore was called, but no sooner than ten seconds after this one was
	// opened. It resumes from the position at that time. Events that both deliver are dropped by
	// ID, by position, or by client.Options.SequenceOf. Without a position, this one is read until
	// the consumer has caught up. Prepare and OnResponse for the next connection run concurrently
	// with OnMessage of this one. Some servers allow only one connection at a time: while the next
	// one is refused, this one is kept and the attempt is repeated every 30 s. Default: this one is
	// closed first, once everything received has been read but within ten seconds.
	Overlap bool

	gzip int32 // whether to offer compression, see gzipOffered; atomic
	sent int32 // with ResumeByGet: 1 if the request may have taken effect; atomic
}

// Validate reports every invalid option, joined into one error. Open fails with the same error.
func (h *HTTP) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("HTTP."+field+": "+format, args...))
	}
	if err := checkURL(h.URL); err != nil {
		bad("URL", "%w", err)
	}
	if h.Method != "" && !isToken(h.Method) {
		bad("Method", "%q is not an HTTP method", h.Method)
	}
	if m := h.method(); m == http.MethodHead || m == http.MethodConnect {
		bad("Method", "the response to %s carries no feed", m)
	}
	if err := checkHeader(h.Header); err != nil {
		bad("Header", "%w", err)
	}
	if h.End > EndUnexpected {
		bad("End", "unknown value %d", h.End)
	}
	if h.End == EndUnexpected && h.OnMessage == nil {
		bad("End", "EndUnexpected requires an OnMessage that returns ErrComplete")
	}
	if h.ResumeByGet && h.method() == http.MethodGet {
		bad("ResumeByGet", "Method is GET: every request is resumed by a GET without it")
	}
	if h.ResumeByGet && h.End == EndReconnect {
		bad("End", "EndReconnect repeats the request, ResumeByGet does not")
	}
	if h.MaxConnectionAge > 0 && !h.isReplaceable() {
		bad("MaxConnectionAge", "the request is not sent again once its response has started: set End to EndReconnect if it only subscribes")
	}
	if h.Overlap && !h.isReplaceable() {
		bad("Overlap", "the request is not sent again once its response has started: set End to EndReconnect if it only subscribes")
	}
	for name, d := range h.Decoders {
		if !isToken(name) || name != strings.ToLower(name) || d == nil {
			bad("Decoders", "%q: want a lower-case encoding name and a function that is not nil", name)
		}
	}
	for i, o := range h.TrustedOrigins {
		if !isOrigin(o) {
			bad("TrustedOrigins", "entry %d: want scheme://host or scheme://host:port", i)
		}
	}
	return errors.Join(errs...)
}

// Open sends the request, follows redirects, and returns once the response header shows that
// the body is a feed. ctx is the lifetime of the connection; when it ends, Open and Read return
// its cause.
//
// Errors: ErrComplete, *StatusError, *ProtocolError, *TokenError, *TimeoutError, an error of
// Prepare or OnResponse, or a network failure. Their texts contain at most the origin: no path,
// query, header or token. The text for a refused response shows the beginning of its body, see
// StatusError.
func (h *HTTP) Open(ctx context.Context, token string) (*Session, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := h.Validate(); err != nil {
		return nil, &final{fmt.Errorf("transport: %w", err)}
	}
	a := h.newAttempt(ctx, token)
	if !a.claim() {
		a.cancel(errSent)
		return nil, &final{errSent}
	}
	conn, err := onOtherStack(a.open)
	if err != nil {
		err = a.settle(ctx, a.failure(err))
		a.cancel(err)
		return nil, err
	}
	s := &Session{Conn: conn, Resumes: true}
	if h.Overlap {
		s.OnExpiring = conn.expires.onExpiring
	}
	return s, nil
}

// onOtherStack returns what open returns. It calls open on another goroutine, because to connect
// takes much stack, which the goroutine that reads would keep.
func onOtherStack[C any](open func() (C, error)) (conn C, err error) {
	err = errExited // unless open returns
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		conn, err = open()
	}()
	<-opened
	return conn, err
}

func (h *HTTP) method() string {
	if h.Method == "" {
		return http.MethodGet
	}
	return h.Method
}

// accept returns the value of the Accept header.
func (h *HTTP) accept() string {
	if h.Format != nil {
		return strings.Join(h.Format.MediaTypes(), ", ")
	}
	return strings.Join(decode.MediaTypes(), ", ")
}

func (h *HTTP) trusts(origin string) bool {
	return slices.ContainsFunc(h.TrustedOrigins, func(o string) bool {
		u, err := parseURL(o)
		return err == nil && originOf(u) == origin
	})
}

// orDefault returns the value of a duration field: def if d is zero, and zero, which means no
// limit, if d is negative.
func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return max(d, 0)
}

// checkURL returns why s is not the URL of an HTTP feed. The error does not contain s.
func checkURL(s string) error {
	_, err := parseURL(s)
	if err == nil {
		return nil
	}
	u, perr := url.Parse(s)
	switch {
	case s == "":
		return errors.New("missing")
	case perr != nil:
	case u.Scheme == "ws" || u.Scheme == "wss":
		return fmt.Errorf("%s is the scheme of a WebSocket: use transport.WebSocket", u.Scheme)
	case u.Scheme == "http" || u.Scheme == "https":
		return errors.New("no host: want " + u.Scheme + "://host/path")
	case u.Scheme == "" || u.Host == "":
		return errors.New("no scheme: want https://host/path or http://host/path")
	default:
		return errors.New("scheme is not http or https")
	}
	return err
}

// parseURL replaces the error of url.Parse, which would contain the URL.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("not an absolute http or https URL")
	}
	return u, nil
}

func isOrigin(s string) bool {
	u, err := parseURL(s)
	return err == nil && u.User == nil && u.Path == "" && u.RawQuery == "" && u.Fragment == ""
}

// originOf returns scheme://host[:port] in a comparable form: lower case, without the scheme's
// default port.
func originOf(u *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":")
	switch u.Scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return u.Scheme + "://" + host
}

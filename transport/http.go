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

// HTTP is a feed that arrives as the body of a long-lived HTTP response, such as
// server-sent events or delimited JSON. Only URL must be set. Use it as *HTTP and
// do not change it once it is in use. Open may be called from several goroutines at once.
//
// What is sent: every request is built anew from copies of these fields, with
// "Cache-Control: no-cache", an Accept of the framings asked for, and an
// Accept-Encoding of gzip and Decoders, unless Header says otherwise. A server that does not
// flush its compressor then sends nothing: after a header that does not come in time, or a
// compressed response whose first message does not, one attempt offers no compression. If a
// message comes, neither do later ones of this HTTP.
//
// What is accepted: status 200, or another 2xx that allows a whole body, with the media type
// of a feed; with application/json, which names no framing, only 200 unless Format is set.
// 204 is ErrEnd, 401 asks Prepare for fresh credentials once, and any other status is a
// *StatusError (4xx and 5xx) or a *ProtocolError.
//
// Redirects (301, 302, 303, 307, 308) are followed, at most ten in a row and never
// from https to http; each Open starts at URL again. A redirect that leaves the origin
// (scheme, host and port), for one that TrustedOrigins does not list, takes along
// neither header nor cookie, credentials or token, and what follows it stays without
// them; a body that is sent again keeps its Content-Type and Content-Encoding. If a
// token was withheld like that, the first message carries a Gap.
//
// What a feed says of itself in its events is an event like any other, until Control makes
// an error of it: the example of client.Subscribe for Kubernetes does so with a position
// that is no longer known.
type HTTP struct {
	// URL is the address of the feed, http or https. User and password in it are sent
	// as basic authentication. Required.
	URL string

	// Method of the request. Default GET.
	Method string

	// Body is sent with every attempt, from its first byte. Default none.
	Body []byte

	// Header is sent with every attempt. "Host" in it replaces the host of URL; a name
	// without values keeps that header from being sent. Default none.
	Header http.Header

	// Client gives its Transport and its Jar; its Timeout, which would cut the stream,
	// and its CheckRedirect are not used. An http.Transport that is given should send
	// HTTP/2 pings (http.HTTP2Config), or a reconnect may be sent down the dead
	// connection that it flees from. Default: a fresh Transport for each connection, of
	// which nothing stays behind, with 10 s to dial, HTTP/2 where the server has it,
	// pings, and proxies from the environment.
	Client *http.Client

	// Format is the framing of the body. When set it is used whatever the response's
	// Content-Type says, unless that is HTML: an error in JSON with status 200 is then read
	// as that framing too, and SSE finds nothing in it. Default: by Content-Type, see
	// decode.Auto.
	Format decode.Format

	// Decoders undo content encodings (RFC 9110, section 8.4.1) beside gzip, by their
	// names in lower case, such as "zstd". One is called with a compressed body once its
	// first byte is there; what it returns is closed with the connection, but never
	// during a Read. Its Read returns what there is without waiting for more, and it
	// bounds its own memory: MaxFrame applies to what comes out of it.
	// "gzip" replaces the decoder that is built in. Default: gzip only.
	Decoders map[string]func(io.Reader) (io.ReadCloser, error)

	// Resume puts the token on the request. It is not called for an empty token.
	// Default ResumeHeader("Last-Event-ID").
	Resume Resume

	// Prepare changes a request just before it is sent: fresh credentials, a signature,
	// query parameters. It is called for every request to the feed's own origin or a
	// trusted one, those after a redirect included, and therefore sets values rather
	// than adding them. After a 401 the request is repeated once, see Refresh. Its
	// context ends with the attempt. An error ends the attempt. Default none.
	Prepare func(*http.Request) error

	// EOF says what a clean end of the body means, and whether the request may be sent
	// again once a response has begun. A POST that is a subscription needs EOFReconnects.
	// Default EOFByMethod.
	EOF EOF

	// HeaderTimeout is the time from the start of an attempt to the response header:
	// dial, TLS, Prepare and redirects included. Negative: no limit. Default 30 s.
	HeaderTimeout time.Duration

	// IdleTimeout is how long a Read waits without a single byte, a keepalive's
	// included, before it gives the connection up with a *TimeoutError. Time in which
	// nobody reads does not count. Negative: no limit.
	//
	// Default: 90 s, until two keepalives (comments, empty lines, events that Control has made
	// one) have each ended a silence of more than a second on this connection; those of its
	// first 20 s, which may be greetings, do not count. From then on the feed's own
	// heartbeat sets the limit: three times the longest such silence, at least 20 s.
	// Events do not shorten it, for a burst says nothing about the next silence.
	IdleTimeout time.Duration

	// PingInterval is how long an HTTP/2 connection is silent before it is probed with
	// a PING, whose answer may take half as long. It applies when Client brings no
	// Transport of its own. Negative: no pings. Default 30 s.
	PingInterval time.Duration

	// MaxFrame is the most bytes of one event, after decompression. A larger one is a
	// *decode.FrameError. Negative: no limit. Default 16 MiB.
	MaxFrame int

	// OnBadFrame is told of each frame that is malformed or larger than MaxFrame, where
	// the framing says how to go on. The frame is passed over, and the message behind it
	// carries a Gap that says BadFrame. It is called from Read. Default: a bad frame ends
	// the connection with its *decode.FrameError.
	OnBadFrame func(*decode.FrameError)

	// OnResponse is called with each response that opens the feed, before its first event. It
	// may remember what the header holds, such as a session id. A Gap that it returns goes on
	// the first message: MercureGap is ready for a server that announces a loss in its
	// header. An error ends the connection, as one of Control does. The body that it sees is
	// empty. It is called from Open. Default none.
	OnResponse func(resp *http.Response) (*Gap, error)

	// Control sees each event before it is delivered, and may change it: cut the payload
	// out of Data, set ID and Type, add a Gap, or turn it with Kind into a decode.Keepalive
	// (which is no event) or a decode.Position. An error ends the connection and decides
	// what follows: one with a method Retryable that returns false, RejectsToken, RetryAfter
	// (see package retry), io.EOF to reconnect, or ErrEnd when the event says that the feed
	// is complete. An event that consists of several is taken apart with Message.Parts. It is called from Read and may not wait for the subscription (Close,
	// Commit, Next). Default none.
	Control func(m *Message) error

	// TrustedOrigins ("https://host" or "https://host:port") may receive header,
	// cookies, credentials and token after a redirect. A http origin listed here may
	// also be redirected to from https. Default none beside that of URL.
	TrustedOrigins []string

	gzip int32 // what is known of the server's compressor; atomic
}

// Validate reports every option that cannot work, joined into one error.
// Open refuses to start with the same error.
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
		bad("Method", "a response to %s brings no feed", m)
	}
	if err := checkHeader(h.Header); err != nil {
		bad("Header", "%w", err)
	}
	if h.EOF > EOFUnexpected {
		bad("EOF", "no such value: %d", h.EOF)
	}
	if h.EOF == EOFUnexpected && h.Control == nil {
		bad("EOF", "EOFUnexpected needs a Control that returns ErrEnd")
	}
	for name, d := range h.Decoders {
		if !isToken(name) || name != strings.ToLower(name) || d == nil {
			bad("Decoders", "%q: want the name of an encoding in lower case, and a function", name)
		}
	}
	for i, o := range h.TrustedOrigins {
		if !isOrigin(o) {
			bad("TrustedOrigins", "entry %d: want scheme://host or scheme://host:port", i)
		}
	}
	return errors.Join(errs...)
}

// Open sends the request, follows redirects, and returns once the response's header
// has shown that the body is a feed. ctx is the life of the connection; when it ends,
// Open and Read return its cause.
//
// Errors: ErrEnd, *StatusError, *ProtocolError, *TokenError, *TimeoutError, what Prepare or
// OnResponse returned, or a failure of the network. Their texts name the origin at most, no
// path, query, header or token; that of a refusal shows the beginning of its body, see
// StatusError.
func (h *HTTP) Open(ctx context.Context, token string) (Conn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := h.Validate(); err != nil {
		return nil, &final{fmt.Errorf("transport: %w", err)}
	}
	a := h.newAttempt(ctx, token)
	conn, err := a.open()
	if err != nil {
		err = a.failure(err)
		a.cancel(err)
		return nil, err
	}
	return conn, nil
}

func (h *HTTP) method() string {
	if h.Method == "" {
		return http.MethodGet
	}
	return h.Method
}

// accept is the value of the Accept header.
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

// orDefault is the value of a duration field: d, the default for zero, and zero,
// which means none, for a negative one.
func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return max(d, 0)
}

// checkURL explains why s is no URL of an HTTP feed. It does not show s.
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

// parseURL does not return the error of url.Parse, which would show the URL.
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

// originOf returns scheme://host[:port] in a form that can be compared: lower case,
// without the scheme's own port.
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

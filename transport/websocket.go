package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
)

const (
	defaultHandshake = 10 * time.Second
	defaultConnect   = 10 * time.Second
	defaultPing      = 20 * time.Second
	defaultPong      = 10 * time.Second
	defaultMaxPause  = 10 * time.Second
)

// WebSocket is a feed that arrives over a WebSocket (RFC 6455). Only URL is required:
//
//	feed := &transport.WebSocket{URL: "wss://gateway.example.com/v1"}
//
// Each message is an event, or with Format several events. OnConnect logs in and subscribes on
// each new connection. OnMessage handles what is not an event, such as heartbeats. A lost
// connection is noticed by pings.
//
// To resume, return the position of an event from client.Options.TokenOf or set Message.Token in
// OnMessage, and present it with Resume or in OnConnect. With neither Resume nor OnConnect, each
// connection starts without a position.
//
// The handshake follows the same rules for credentials, tokens and redirects as the request of an
// HTTP feed. A binary message has the Type "binary".
//
// Use it as *WebSocket and do not change or copy it once it is in use.
type WebSocket struct {
	// URL is the address of the feed: ws, wss, http or https. Required.
	URL string

	// Header is sent with every handshake. "Host" replaces the host of URL. Default: none.
	Header http.Header

	// Client provides its Transport and its Jar. Default: a new http.Transport for each
	// connection, which dials within 10 s and takes proxies from the environment; ws goes
	// through them with CONNECT (RFC 6455, section 4.1).
	Client *http.Client

	// Subprotocols are offered to the server (RFC 6455, section 1.9). A server that selects
	// none of them is refused, as in browsers. If "" is one of them, the connection continues
	// without one, as RFC 6455, section 4.1, allows, and Socket.Subprotocol is empty. Default:
	// none.
	Subprotocols []string

	// Resume puts the token on the handshake, such as ResumeQuery("cursor"). It is not called
	// for an empty token. Default: none; OnConnect presents the token.
	Resume Resume

	// Prepare changes a handshake just before it is sent: it sets fresh credentials, a ticket
	// or another URL. It is called once more after a 401 or 403, and on the next attempt after
	// a close code that requires fresh credentials; see CredentialsRejected. Default: none.
	Prepare func(*http.Request) error

	// TrustedOrigins are the origins that a redirect may lead to, as with HTTP. A redirect to
	// any other is a *ProtocolError, because OnConnect would send it what is meant for the feed.
	// Default: only the origin of URL.
	TrustedOrigins []string

	// HandshakeTimeout limits the time from the start of an attempt to the response, including
	// dial, TLS, Prepare and redirects. Negative: no limit. Default: 10 s.
	HandshakeTimeout time.Duration

	// OnResponse is called with the response of each handshake that succeeds, before OnConnect. It
	// may store what the header contains. A Gap that it returns goes on the first message. An
	// error ends the connection, like an error of OnMessage. The body of resp is empty. Default:
	// none.
	OnResponse func(resp *http.Response) (*Gap, error)

	// OnConnect is called after each handshake. It may log in, subscribe, resume from token, and
	// wait for the server's replies. The connection is ready once OnConnect returns nil. An
	// error is handled like any other failure; if the connection has failed, its error takes
	// precedence. ctx ends with the connection or after OnConnectTimeout; see also
	// CredentialsRejected. Use Socket.Unread for received messages that are already events.
	// OnConnect must not call methods of the subscription that wait (Close, Commit, Next).
	// Default: none.
	OnConnect func(ctx context.Context, s *Socket, token string) error

	// OnConnectTimeout limits the time that OnConnect may take. Negative: no limit. Default: 10 s.
	OnConnectTimeout time.Duration

	// OnMessage is called with each message after OnConnect, before it becomes an event, and may
	// change it: extract the payload from Data, set ID, Token and Type, add a Gap, set Kind to
	// decode.KindKeepalive (a heartbeat or a reply, not an event) or decode.KindPosition, or
	// split it into several events with Parts. It may reply through the Socket and should not
	// block. It must not call methods of the subscription that wait (Close, Commit, Next).
	//
	// An error ends the connection and determines what follows: an error with a method
	// Retryable that returns false, RejectsToken or RetryAfter (see package retry), io.EOF to
	// reconnect, or ErrComplete. So a message that precedes a close can be more specific than the
	// close code. Default: none.
	OnMessage func(s *Socket, m *Message) error

	// Format splits each message into events, such as decode.JSONArray or decode.NDJSON. A
	// message without events is a keepalive. Each event has the Type that OnMessage has set, and
	// the last one the ID and the Token, unless it has its own. The Token of a message that does
	// not end with an event follows it. Default: the message is the event.
	Format decode.Format

	// OnBadFrame is called with each malformed frame of Format, if the rest of the message can
	// be read. The frame is skipped, and the next event has a Gap, as with HTTP. Default: a bad
	// frame ends the connection.
	OnBadFrame func(*decode.FrameError)

	// PingInterval is how long nothing, not even a ping, may be received before the server is
	// pinged. Negative: no pings. Default: 20 s.
	PingInterval time.Duration

	// PongTimeout is how long after a ping the next byte may take. A second ping is sent before
	// the connection ends with a *TimeoutError. It must not be negative; see PingInterval.
	// Default: 10 s.
	PongTimeout time.Duration

	// IdleTimeout limits how long a Read waits without a message before the connection ends with
	// a *TimeoutError. It is for a feed that is never quiet or sends heartbeats. Each message
	// counts, including one that OnMessage makes a decode.KindKeepalive; pings and pongs do not,
	// see PingInterval. Use Socket.SetIdleTimeout if the server announces its interval.
	// Negative: no limit. Default: no limit.
	IdleTimeout time.Duration

	// MaxPause limits how long the connection is kept while the consumer is busy and nothing is
	// read. Pings of the server are not answered in that time, so MaxPause must be shorter than
	// the server's pong timeout. After it, if there is a position to resume from, the
	// connection is closed, and resumed once the consumer has space. Negative: no limit.
	// Default: 10 s.
	MaxPause time.Duration

	// MaxMessage is the maximum size of one message in bytes, after decompression. A larger one
	// is a *MessageError. Negative: no limit. Default: 16 MiB.
	MaxMessage int

	// AllowInvalidUTF8 accepts text messages that are not valid UTF-8. Default: such a message
	// ends the connection with close code 1007 (RFC 6455, section 8.1).
	AllowInvalidUTF8 bool

	// Compression offers permessage-deflate (RFC 7692) for received messages; sent messages are
	// not compressed. It costs about 40 KiB per connection. Senders that set BFINAL (section
	// 7.2.3.4) are not supported, and a truncated deflate stream is not detected. Default: off.
	Compression bool

	// NewDecompressor is called once for each connection. The function that it returns undoes
	// the feed's own compression (zlib, zstd) of each binary message. Its result is delivered
	// and must not be reused; nil without an error means that the message continues in the next
	// one. It must bound its own memory. Default: none.
	NewDecompressor func() func(binary []byte) ([]byte, error)

	// SendRate limits how many messages are sent. Send waits if the limit is reached. Pings and
	// pongs count; an eighth of the limit is reserved for them, for heartbeats and for replies
	// of OnMessage. Default: no limit.
	SendRate Rate

	// CloseRules define what to do after the server has closed with a code. The first matching
	// rule applies; without one, the table of CloseError does. Default: none.
	CloseRules []CloseRule

	// Classify is called before CloseRules with each *CloseError, and with each *StatusError of a
	// handshake. ActionDefault leaves the decision to CloseRules and the defaults. Default: none.
	Classify func(error) Action

	// End defines what close code 1000 means. Default: EndReconnect.
	End EndPolicy

	// CloseCode is sent when the client closes the connection. Some servers end the session on
	// 1000 and 1001 and keep it on another code, such as 4000. Negative: the connection is cut
	// without a close frame. Default: 1000.
	CloseCode int

	// MaxConnectionAge limits how long a connection is used before it is replaced, less up to a
	// fiftieth at random. It should be below the time after which the server ends it. If that is
	// known only once it is open or by its credentials, see ReplaceBefore. Negative: no limit.
	// Default: no limit.
	MaxConnectionAge time.Duration

	// Overlap opens the next connection before this one is closed, when MaxConnectionAge is
	// reached or Socket.Replace or ReplaceBefore was called, but no sooner than ten seconds after
	// this one was opened. Events that both deliver are dropped by ID, which must then be the
	// event's own, by position, or by client.Options.SequenceOf. OnConnect of the next connection
	// runs concurrently with OnMessage of this one. Some servers allow only one connection at a
	// time: while the next one is refused, this one is kept and the attempt is repeated every 30 s.
	// Default: this one is closed first.
	Overlap bool

	live    atomic.Pointer[socketConn] // the latest one that is ready
	refresh atomic.Bool                // the next attempt needs fresh credentials
}

var errExited = errors.New("transport: Prepare or OnResponse called runtime.Goexit")

// ErrNotConnected is returned by Send if there is no connection to send on.
var ErrNotConnected = errors.New("transport: not connected")

// Validate reports every invalid option, joined into one error. Open fails with the same error.
func (w *WebSocket) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("WebSocket."+field+": "+format, args...))
	}
	if _, err := parseURL(overHTTP(w.URL)); err != nil {
		bad("URL", "want wss://host/path or ws://host/path")
	}
	if err := checkHeader(w.Header); err != nil {
		bad("Header", "%w", err)
	}
	for name := range w.Header {
		switch name = http.CanonicalHeaderKey(name); {
		case name == "Sec-Websocket-Protocol":
			bad("Header", "%s is set by the handshake: use Subprotocols", name)
		case name == "Connection", name == "Upgrade", strings.HasPrefix(name, "Sec-Websocket-"):
			bad("Header", "%s is set by the handshake", name)
		}
	}
	for i, p := range w.Subprotocols {
		if p != "" && !isToken(p) {
			bad("Subprotocols", "entry %d is not a valid subprotocol name", i) // it may be a credential
		}
	}
	for i, o := range w.TrustedOrigins {
		if !isOrigin(overHTTP(o)) {
			bad("TrustedOrigins", "entry %d: want scheme://host or scheme://host:port", i)
		}
	}
	if w.End > EndFeed {
		bad("End", "unknown value %d", w.End)
	}
	if w.CloseCode > 0 && !sendable(w.CloseCode) {
		bad("CloseCode", "%d cannot be sent by a client (RFC 6455, section 7.4)", w.CloseCode)
	}
	if w.PongTimeout < 0 {
		bad("PongTimeout", "%v is negative: set PingInterval to -1 to send no pings", w.PongTimeout)
	}
	if err := w.SendRate.validate(); err != nil {
		bad("SendRate", "%w", err)
	}
	for i, r := range w.CloseRules {
		if err := r.validate(); err != nil {
			bad("CloseRules", "entry %d: %w", i, err)
		}
	}
	if w.OnBadFrame != nil && w.Format == nil {
		bad("OnBadFrame", "requires Format")
	}
	return errors.Join(errs...)
}

// Open makes the handshake, calls OnConnect, and returns once OnConnect has returned. ctx is the
// lifetime of the connection; when it ends, Open and Read return its cause.
//
// Errors: ErrComplete, *StatusError, *ProtocolError, *CloseError, *TokenError, *TimeoutError,
// *MessageError, an error of Prepare, OnResponse, OnConnect or OnMessage, or a network failure.
// Their texts contain at most the origin: no path, query, header, token, message or close
// reason. The text of a *StatusError shows the beginning of the response's body.
func (w *WebSocket) Open(ctx context.Context, token string) (*Session, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := w.Validate(); err != nil {
		return nil, &final{fmt.Errorf("transport: %w", err)}
	}
	c, err := onOtherStack(func() (*socketConn, error) { return w.dial(ctx, token) })
	if err != nil {
		return nil, err
	}
	if err := c.connect(token); err != nil {
		c.Close()
		return nil, err
	}
	w.live.Store(c)
	s := &Session{
		Conn: c, MaxPause: orDefault(w.MaxPause, defaultMaxPause),
		Resumes: w.Resume != nil || w.OnConnect != nil, // nothing else can present a token
	}
	if w.Overlap {
		s.OnExpiring = c.life.expires.onExpiring
	}
	return s, nil
}

// Send sends a text message on the open connection, as soon as SendRate allows; ctx bounds
// that wait. It may be called from any goroutine. A nil error does not mean that the message
// has arrived.
//
// Send returns ErrNotConnected if there is no connection, or while OnConnect runs, so that no
// other message precedes the login: OnConnect sends through its Socket. With Overlap, Send uses
// the old connection until the next one is ready. The connection ends if the server accepts no
// data for four seconds.
func (w *WebSocket) Send(ctx context.Context, text []byte) error {
	return w.send(ctx, websocket.MessageText, text)
}

// SendBinary is Send for a binary message.
func (w *WebSocket) SendBinary(ctx context.Context, data []byte) error {
	return w.send(ctx, websocket.MessageBinary, data)
}

func (w *WebSocket) send(ctx context.Context, kind websocket.MessageType, data []byte) error {
	c := w.live.Load()
	if c == nil {
		return ErrNotConnected
	}
	return c.send(ctx, kind, data, false)
}

func (w *WebSocket) maxMessage() int {
	if w.MaxMessage == 0 {
		return decode.DefaultMaxFrame
	}
	return w.MaxMessage
}

func (w *WebSocket) closeCode() int {
	if w.CloseCode == 0 {
		return int(websocket.StatusNormalClosure)
	}
	return w.CloseCode
}

// overHTTP returns the URL of the handshake for the URL of a WebSocket, or u itself.
func overHTTP(u string) string {
	scheme, rest, ok := strings.Cut(u, ":")
	switch strings.ToLower(scheme) {
	case "ws":
		scheme = "http"
	case "wss":
		scheme = "https"
	}
	if !ok {
		return u
	}
	return scheme + ":" + rest
}

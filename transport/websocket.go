package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
)

const (
	defaultHandshake = 10 * time.Second
	defaultHello     = 10 * time.Second
	defaultPing      = 20 * time.Second
	defaultPong      = 10 * time.Second
	defaultPatience  = 10 * time.Second
)

// WebSocket is a feed that arrives over a WebSocket (RFC 6455). Only URL must be set. Use
// it as *WebSocket and do not change or copy it once it is in use.
//
// Each message is an event, or with Format several. A binary one has the Type "binary".
// Where the events carry a position, let client.Options.Token find it, or set Message.ID
// in Control, and put it to use with Resume or in Hello.
//
// The handshake is made like the request of an HTTP feed, with the same rules for
// credentials and tokens. It is followed by Hello; then the connection is ready. With neither
// Resume nor Hello no position can be presented: each connection begins afresh.
type WebSocket struct {
	// URL is the address of the feed: ws, wss, http or https. Required.
	URL string

	// Header is sent with every handshake. "Host" in it replaces the host of URL.
	// Default none.
	Header http.Header

	// Client gives its Transport and its Jar. Default: a fresh http.Transport for each
	// connection, which dials within 10 s and takes proxies from the environment; ws goes
	// through them with CONNECT (RFC 6455, section 4.1).
	Client *http.Client

	// Subprotocols are offered (RFC 6455, section 1.9). A server that chooses none of them
	// is refused, as by browsers, unless "" is one of them: RFC 6455, section 4.1, allows
	// a client to go on. Socket.Subprotocol is empty then. Default none.
	Subprotocols []string

	// Resume puts the token on the handshake, such as ResumeQuery("cursor"). It is not
	// called for an empty token. Default: the token is left to Hello.
	Resume Resume

	// Prepare changes a handshake just before it is sent: fresh credentials, a ticket,
	// another URL. After 401 and 403 it is asked once more, see Refresh; likewise on the
	// next attempt when the server has closed with a code that says so. Default none.
	Prepare func(*http.Request) error

	// TrustedOrigins are those that a redirect may lead to, as with HTTP. Any other is a
	// *ProtocolError: Hello would tell it what is meant for the feed. Default none beside
	// that of URL.
	TrustedOrigins []string

	// HandshakeTimeout is the time from the start of an attempt to the answer: dial, TLS,
	// Prepare and redirects included. Negative: no limit. Default 10 s.
	HandshakeTimeout time.Duration

	// OnResponse is called with the response of each handshake that succeeds, before Hello. It
	// may remember what the header holds. A Gap that it returns goes on the first message. An
	// error ends the connection, as one of Control does. The body that it sees is empty.
	// Default none.
	OnResponse func(resp *http.Response) (*Gap, error)

	// Hello opens the session after each handshake: it may log in, subscribe, resume from
	// token, and wait for what the server says to that. Only when it has returned nil is
	// the connection ready. It decides by its error like any other failure; the error of
	// a connection that has broken comes before it. ctx ends with the connection, or after
	// HelloTimeout; see also Refresh. Messages that are events already can be handed on
	// with Socket.Unread. Default none.
	Hello func(ctx context.Context, s *Socket, token string) error

	// HelloTimeout is how long Hello may take. Negative: no limit. Default 10 s.
	HelloTimeout time.Duration

	// Control sees each message after Hello, before it becomes an event, and may change
	// it: cut the payload out of Data, set ID and Type, add a Gap, or turn it with Kind
	// into a decode.Keepalive (a heartbeat, an answer, which is no event) or a
	// decode.Position. It may answer through the Socket, and should not block. An error
	// ends the connection and decides what follows: one with a method Retryable that
	// returns false, RejectsToken, RetryAfter (see package retry), io.EOF to reconnect, or
	// ErrEnd. So a notice before a close can say more than the close code. A message that
	// consists of several events is taken apart with Message.Parts. Neither Hello nor
	// Control may wait for the subscription (Close, Commit, Next). Default none.
	Control func(s *Socket, m *Message) error

	// Format splits each message into events, such as decode.JSONArray or decode.NDJSON.
	// A message without any is a sign of life. The Type that Control has set is that of
	// each of its events, and the ID that of the last one, unless they have their own.
	// Default: the message is the event.
	Format decode.Format

	// OnBadFrame is told of each frame of Format that is malformed, where the rest of the
	// message can be read, as with HTTP. Default: a bad frame ends the connection.
	OnBadFrame func(*decode.FrameError)

	// PingInterval is how long nothing was received, not even a ping, before the server
	// is pinged. Negative: no pings. Default 20 s.
	PingInterval time.Duration

	// PongTimeout is how long after a ping any byte may take. A second ping is sent
	// before the connection is given up with a *TimeoutError. Must not be negative; see
	// PingInterval. Default 10 s.
	PongTimeout time.Duration

	// IdleTimeout is how long a Read waits without a message while the connection itself
	// lives, before it is given up with a *TimeoutError. For a feed that is never quiet, or
	// has heartbeats: each message counts, also one that Control makes a decode.Keepalive.
	// Pings and pongs do not count; they are PingInterval's. Socket.SetIdleTimeout replaces
	// it where the server announces its interval. Negative or zero: no limit. Default no limit.
	IdleTimeout time.Duration

	// Patience is how long the connection is kept while nobody reads because the consumer
	// has enough to do. Pings of the server are not answered in that time, so it is to be
	// shorter than what the server allows for a pong. Then, if there is a position to
	// resume from, the connection is closed, and resumed once there is space. Negative:
	// for ever. Default 10 s.
	Patience time.Duration

	// MaxMessage is the most bytes of one message, after decompression. A larger one is a
	// *MessageError. Negative: no limit. Default 16 MiB.
	MaxMessage int

	// AnyText lets text pass that is not UTF-8. Default: it ends the connection with close
	// code 1007 (RFC 6455, section 8.1).
	AnyText bool

	// Compression offers permessage-deflate (RFC 7692), for what is received; what is sent
	// is not compressed. It costs some 40 KiB a connection. A server that ends its blocks as
	// the last ones (section 7.2.3.4) cannot be read, and one that sends half of what it has
	// compressed as a message is believed. Default off.
	Compression bool

	// Unpack is called once for each connection, for a function that makes of each binary
	// message what it was before the feed's own compression (zlib, zstd). What that
	// returns is delivered and not to be used again; nil without an error says that the
	// message goes on in the next one. It bounds its own memory. Default none.
	Unpack func() func(binary []byte) ([]byte, error)

	// SendLimit and SendPer are how many messages the server takes in which time, such as
	// 120 in time.Minute. Who sends more waits. Pings and pongs count; an eighth of the
	// room is kept for them, for heartbeats and for answers of Control's. Default: no limit.
	SendLimit int
	SendPer   time.Duration

	// Closes says what to do after the server has closed with a code. The first rule that
	// fits counts, then the default ones, see CloseError. Default none.
	Closes []CloseRule

	// Classify is asked before Closes about each *CloseError, and about each *StatusError
	// of a handshake. With ActionDefault it leaves the decision to them. Default none.
	Classify func(error) Action

	// EOF says what close code 1000 means. Default EOFReconnects.
	EOF EOF

	// CloseCode is sent when the connection is closed from here. Some servers end the
	// session on 1000 and 1001 and keep it on another code, such as 4000. Negative: the
	// connection is cut without. Default 1000.
	CloseCode int

	// MaxAge is how long a connection is used before it is replaced, less up to a fiftieth
	// at random. It should be below the time after which the server cuts it. Negative or
	// zero: no limit. Default no limit.
	MaxAge time.Duration

	// Handover opens the next connection first, and closes this one once the other is
	// ready, when MaxAge is reached or Control has called Socket.Expire, but no sooner than
	// ten seconds after this one was. What comes twice is removed by ID, which therefore has
	// to be the event's own, or by client.Options.Sequence. Hello then runs at the same time
	// as the other connection's Control. Some servers allow one connection at a time.
	// Default: this one is closed first.
	Handover bool

	live    atomic.Pointer[socketConn] // the latest that is ready
	refresh atomic.Bool                // the next attempt needs fresh credentials
	buffers sync.Pool                  // of connections with much to read, *[wireBuffer]byte
}

// ErrNotConnected says that there is no connection to send on.
var ErrNotConnected = errors.New("transport: not connected")

// Validate reports every option that cannot work, joined into one error.
// Open refuses to start with the same error.
func (w *WebSocket) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("WebSocket."+field+": "+format, args...))
	}
	if _, err := parseURL(overHTTP(w.URL)); err != nil {
		bad("URL", "not an absolute ws or wss URL")
	}
	if err := checkHeader(w.Header); err != nil {
		bad("Header", "%w", err)
	}
	for name := range w.Header {
		switch name = http.CanonicalHeaderKey(name); {
		case name == "Sec-Websocket-Protocol":
			bad("Header", "%s is set by Subprotocols", name)
		case name == "Connection", name == "Upgrade", strings.HasPrefix(name, "Sec-Websocket-"):
			bad("Header", "%s belongs to the handshake", name)
		}
	}
	for i, p := range w.Subprotocols {
		if p != "" && !isToken(p) {
			bad("Subprotocols", "entry %d is not the name of a subprotocol", i) // it may be a credential
		}
	}
	for i, o := range w.TrustedOrigins {
		if !isOrigin(overHTTP(o)) {
			bad("TrustedOrigins", "entry %d: want scheme://host or scheme://host:port", i)
		}
	}
	if w.EOF > EOFEnds {
		bad("EOF", "no such value: %d", w.EOF)
	}
	if w.CloseCode > 0 && !sendable(w.CloseCode) {
		bad("CloseCode", "%d cannot be sent by a client (RFC 6455, section 7.4)", w.CloseCode)
	}
	if w.PongTimeout < 0 {
		bad("PongTimeout", "%v is negative: PingInterval -1 sends no pings", w.PongTimeout)
	}
	if w.SendLimit < 0 || w.SendPer < 0 || (w.SendLimit > 0) != (w.SendPer > 0) {
		bad("SendLimit", "want both SendLimit and SendPer above zero, or neither")
	}
	if w.SendLimit > maxSendLimit {
		bad("SendLimit", "more than %d", maxSendLimit)
	}
	for i, r := range w.Closes {
		if err := r.validate(); err != nil {
			bad("Closes", "entry %d: %w", i, err)
		}
	}
	if w.OnBadFrame != nil && w.Format == nil {
		bad("OnBadFrame", "has no effect without Format")
	}
	return errors.Join(errs...)
}

// Open makes the handshake, calls Hello, and returns once that has. ctx is the life of the
// connection; when it ends, Open and Read return its cause.
//
// Errors: ErrEnd, *StatusError, *ProtocolError, *CloseError, *TokenError, *TimeoutError,
// *MessageError, what Prepare, Hello or Control returned, or a failure of the network. Their
// texts name the origin at most: no path, query, header, token, message or close reason.
func (w *WebSocket) Open(ctx context.Context, token string) (Conn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := w.Validate(); err != nil {
		return nil, &final{fmt.Errorf("transport: %w", err)}
	}
	c, err := w.dial(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := c.greet(token); err != nil {
		c.Close()
		return nil, err
	}
	w.live.Store(c)
	if w.Handover {
		return &expiringConn{c}, nil
	}
	return c, nil
}

// Send sends a text message on the connection that is open, once SendLimit allows it. It
// may be called from any goroutine. A nil error does not mean that the message has arrived.
// Without a connection it is ErrNotConnected, and so it is while Hello runs, so that no
// message of another goroutine comes before the login: Hello sends through its Socket. With
// Handover it sends on the old connection until the next one is ready. A server that takes
// nothing for four seconds ends the connection. ctx bounds the wait for SendLimit.
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

// overHTTP is the URL of the handshake for that of a WebSocket, or u itself.
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

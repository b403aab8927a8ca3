package transport

import (
	"context"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// A handshake leads from the URL to an open WebSocket. coder/websocket sends its request
// through it, so that redirects, credentials and tokens are handled like those of an HTTP feed.
type handshake struct {
	attempt *attempt
	socket  *WebSocket
	wire    *wire
	limiter *limiter
	header  http.Header // that the library sends

	asked    bool // for fresh credentials before the first request
	answered bool // by the server

	gap *Gap  // returned by OnResponse
	err error // why the library gets no response
}

func (w *WebSocket) dial(parent context.Context, token string) (*socketConn, error) {
	h := w.newHandshake(context.WithoutCancel(parent), token)
	stop := context.AfterFunc(parent, func() { h.attempt.cancel(context.Cause(parent)) })
	ws, err := h.dial()
	if !stop() && err == nil {
		ws.CloseNow()
		err = context.Cause(parent)
	}
	if err != nil {
		if context.Cause(h.attempt.ctx) != errClosed { // closed by the library because of err
			err = h.attempt.failure(err)
		}
		if h.asked && !h.answered {
			w.refresh.Store(true) // still needed
		}
		h.attempt.cancel(err)
		return nil, err
	}
	return newSocketConn(parent, h, ws), nil
}

func (w *WebSocket) newHandshake(ctx context.Context, token string) *handshake {
	feed := &HTTP{
		URL: overHTTP(w.URL), Header: w.Header, Client: w.Client, Resume: w.Resume, Prepare: w.Prepare,
		OnResponse: w.OnResponse, HeaderTimeout: w.HandshakeTimeout,
	}
	if feed.HeaderTimeout == 0 {
		feed.HeaderTimeout = defaultHandshake
	}
	if feed.Resume == nil {
		feed.Resume = func(*http.Request, string) error { return nil }
	}
	for _, o := range w.TrustedOrigins {
		feed.TrustedOrigins = append(feed.TrustedOrigins, overHTTP(o))
	}
	h := &handshake{attempt: feed.newAttempt(ctx, token), socket: w, limiter: newLimiter(w.SendRate)}
	a := h.attempt
	a.protocol, a.plain = h, true
	a.timeout.Origin = a.shown(a.url)
	if w.Client == nil || w.Client.Transport == nil {
		a.rt = dialTunnelled(a.ctx)
	}
	a.fresh = w.refresh.Swap(false)
	h.asked = a.fresh
	return h
}

// dial makes the handshake. It returns this package's errors, not the library's.
func (h *handshake) dial() (*websocket.Conn, error) {
	a := h.attempt
	stop := after(a.timeout.After, func() { a.cancel(a.timeout) })
	defer stop()
	options := &websocket.DialOptions{HTTPClient: &http.Client{Transport: handshaker{h}}, Subprotocols: h.socket.offered()}
	if limiter := h.limiter; limiter != nil {
		options.OnPingReceived = func(context.Context, []byte) bool {
			limiter.count() // for the pong
			return true
		}
	}
	if h.socket.Compression {
		options.CompressionMode = websocket.CompressionContextTakeover
		options.CompressionThreshold = 1 << 30 // compress no message: a compressor takes a megabyte
	}
	ws, resp, err := websocket.Dial(a.ctx, a.url.String(), options)
	switch {
	case h.err != nil:
		return nil, h.err
	case err != nil && resp != nil:
		return nil, h.violation(resp, "invalid WebSocket handshake response")
	case err != nil:
		return nil, &failed{a.shown(a.url), err}
	case ws.Subprotocol() == "" && len(h.socket.Subprotocols) > 0 && !slices.Contains(h.socket.Subprotocols, ""):
		ws.CloseNow()
		return nil, h.violation(resp, `server selected none of Subprotocols: add "" to accept that`)
	}
	if h.gap, err = a.inspect(resp); err != nil {
		ws.CloseNow()
		return nil, err
	}
	if !stop() {
		a.cancel(a.timeout) // unless the timer is about to do so
		ws.CloseNow()
		return nil, a.timeout
	}
	ws.SetReadLimit(int64(max(h.socket.maxMessage(), -1)))
	return ws, nil
}

// offered returns Subprotocols without "", which means none.
func (w *WebSocket) offered() []string {
	return slices.DeleteFunc(slices.Clone(w.Subprotocols), func(p string) bool { return p == "" })
}

func (h *handshake) violation(resp *http.Response, reason string) error {
	return &ProtocolError{Reason: reason, Origin: h.attempt.shown(h.attempt.url), Header: resp.Header}
}

// A handshaker is the RoundTripper of the library. It sends the handshake as an attempt does.
type handshaker struct{ handshake *handshake }

func (t handshaker) RoundTrip(req *http.Request) (*http.Response, error) {
	h := t.handshake
	h.header = make(http.Header)
	for name, values := range req.Header {
		if name == "Connection" || name == "Upgrade" || strings.HasPrefix(name, "Sec-Websocket-") {
			h.header[name] = values
		}
	}
	resp, err := h.attempt.follow()
	if err == nil {
		err = h.accept(resp)
	}
	if err != nil {
		h.err = err
		return nil, err
	}
	resp.Body = h.wire
	return resp, nil
}

// accept makes the body of a response the wire, or returns why it is none.
func (h *handshake) accept(resp *http.Response) (err error) {
	a := h.attempt
	switch {
	case a.untrusted:
		// OnConnect and OnMessage would send it what a redirect must not carry.
		resp.Body.Close()
		return &ProtocolError{Reason: "redirected here from the URL's origin: add this one to TrustedOrigins if OnConnect may send it credentials", Origin: a.shown(resp.Request.URL)}
	case !h.switches(resp.StatusCode):
		err = h.refused(resp)
		a.discard(resp)
		return err
	}
	h.wire, err = newWire(h, resp)
	return err
}

// refused returns the error for a response that does not switch protocols.
func (h *handshake) refused(resp *http.Response) error {
	if resp.StatusCode == http.StatusNoContent {
		return ErrComplete
	}
	h.answered = resp.StatusCode < 500
	if resp.StatusCode < 400 {
		return h.attempt.protocolError(resp, "status "+status(resp.StatusCode)+" instead of 101 Switching Protocols")
	}
	err := h.socket.judge(h.attempt.statusError(resp))
	return h.socket.refreshed(err, h.attempt.refreshed)
}

// A handshake is the protocol of its attempt.

func (h *handshake) addHeader(header http.Header) { maps.Copy(header, h.header) }

// restore allows Prepare to set a ws URL, but not to change the handshake.
func (h *handshake) restore(req *http.Request) {
	if u, err := parseURL(overHTTP(req.URL.String())); err == nil {
		req.URL = u
	}
	h.addHeader(req.Header)
	*req = *req.WithContext(throughTunnel(req.Context(), req.URL))
}

// rejectsCredentials includes 403, which WebSocket servers often use for that.
func (h *handshake) rejectsCredentials(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

func (h *handshake) switches(status int) bool { return status == http.StatusSwitchingProtocols }

func (h *handshake) httpURL(url string) string { return overHTTP(url) }

func (h *handshake) origin(o string) string { return overWebSocket(o) }

// overWebSocket is the reverse of overHTTP for an origin.
func overWebSocket(origin string) string { return "ws" + strings.TrimPrefix(origin, "http") }

// dialTunnelled returns a new http.Transport whose sockets are closed when ctx ends. Without
// keep-alive, a refused connection leaves no goroutines.
func dialTunnelled(ctx context.Context) *http.Transport {
	dialer := &net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 9},
	}
	return &http.Transport{
		Proxy: proxyExceptHTTP,

		OnProxyConnectResponse: refusedByProxy,
		DialContext:            tunnelled(dialWithin(ctx, dialer)),
		DisableKeepAlives:      true,
		DisableCompression:     true,
	}
}

// sendable reports whether a client may send a close code.
func sendable(code int) bool {
	return code >= 3000 && code <= 4999 ||
		slices.Contains([]int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011}, code)
}

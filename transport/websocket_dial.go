package transport

import (
	"context"
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
	*attempt
	socket  *WebSocket
	wire    *wire
	limiter *limiter

	asked    bool // for fresh credentials before the first request
	answered bool // by the server

	gap *Gap  // returned by OnResponse
	err error // why the library gets no response
}

func (w *WebSocket) dial(parent context.Context, token string) (*socketConn, error) {
	h := w.newHandshake(context.WithoutCancel(parent), token)
	stop := context.AfterFunc(parent, func() { h.cancel(context.Cause(parent)) })
	ws, err := h.dial()
	if !stop() && err == nil {
		ws.CloseNow()
		err = context.Cause(parent)
	}
	if err != nil {
		if context.Cause(h.ctx) != errClosed { // closed by the library because of err
			err = h.failure(err)
		}
		if h.asked && !h.answered {
			w.refresh.Store(true) // still needed
		}
		h.cancel(err)
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
	if w.Client == nil || w.Client.Transport == nil {
		h.rt = dialTunnelled(h.ctx)
	}
	h.fresh = w.refresh.Swap(false)
	h.asked = h.fresh
	return h
}

// dial makes the handshake. It returns this package's errors, not the library's.
func (h *handshake) dial() (*websocket.Conn, error) {
	stop := after(h.timeout.After, func() { h.cancel(h.timeout) })
	defer stop()
	options := &websocket.DialOptions{HTTPClient: &http.Client{Transport: h}, Subprotocols: h.socket.offered()}
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
	ws, resp, err := websocket.Dial(h.ctx, h.url.String(), options)
	switch {
	case h.err != nil:
		return nil, h.err
	case err != nil && resp != nil:
		return nil, h.violation(resp, "invalid WebSocket handshake response")
	case err != nil:
		return nil, &failed{overWebSocket(originOf(h.url)), err}
	case ws.Subprotocol() == "" && len(h.socket.Subprotocols) > 0 && !slices.Contains(h.socket.Subprotocols, ""):
		ws.CloseNow()
		return nil, h.violation(resp, `server selected none of Subprotocols: add "" to accept that`)
	}
	if h.gap, err = h.inspect(resp); err != nil {
		ws.CloseNow()
		return nil, err
	}
	if !stop() {
		h.cancel(h.timeout) // unless the timer is about to do so
		ws.CloseNow()
		return nil, h.timeout
	}
	ws.SetReadLimit(int64(max(h.socket.maxMessage(), -1)))
	return ws, nil
}

// offered returns Subprotocols without "", which means none.
func (w *WebSocket) offered() []string {
	return slices.DeleteFunc(slices.Clone(w.Subprotocols), func(p string) bool { return p == "" })
}

func (h *handshake) violation(resp *http.Response, reason string) error {
	return &ProtocolError{Reason: reason, Origin: overWebSocket(originOf(h.url)), Header: resp.Header}
}

// RoundTrip sends the library's handshake as an attempt does.
func (h *handshake) RoundTrip(req *http.Request) (*http.Response, error) {
	h.upgrade = make(http.Header)
	for name, values := range req.Header {
		if name == "Connection" || name == "Upgrade" || strings.HasPrefix(name, "Sec-Websocket-") {
			h.upgrade[name] = values
		}
	}
	resp, err := h.follow()
	if err == nil && h.strange {
		// OnConnect and OnMessage would send it what a redirect must not carry.
		err = &ProtocolError{Reason: "redirected to an origin that is not in TrustedOrigins", Origin: h.shown(resp.Request.URL)}
		resp.Body.Close()
	} else if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = h.refused(resp)
		h.discard(resp)
	}
	if err == nil {
		h.wire, err = newWire(h, resp)
	}
	if err != nil {
		h.err = err
		return nil, err
	}
	resp.Body = h.wire
	return resp, nil
}

// refused returns the error for a response that does not switch protocols.
func (h *handshake) refused(resp *http.Response) error {
	if resp.StatusCode == http.StatusNoContent {
		return ErrComplete
	}
	h.answered = resp.StatusCode < 500
	if resp.StatusCode < 400 {
		return h.protocolError(resp, "status "+status(resp.StatusCode)+" instead of 101 Switching Protocols")
	}
	err := h.socket.judge(h.statusError(resp))
	return h.socket.refreshed(err, h.refreshed)
}

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

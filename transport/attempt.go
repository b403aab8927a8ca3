package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// maxDrain is how much of an unwanted body is read so that its connection can be used
// again.
const maxDrain = 64 << 10

// An attempt is one way from the URL to an open connection. It is used by one
// goroutine.
type attempt struct {
	*HTTP
	ctx     context.Context // the life of the connection
	cancel  context.CancelCauseFunc
	rt      http.RoundTripper
	token   string
	timeout *TimeoutError // what ends an attempt that takes too long

	// The next request.
	url    *url.URL
	method string
	body   []byte

	plain   bool        // no compression is offered
	waiting bool        // for a response's header
	upgrade http.Header // of a WebSocket handshake; nil for an HTTP feed
	fresh   bool        // Prepare is to bring fresh credentials at once

	home      string // origin of the first request
	strange   bool   // a redirect has left for an origin that is not trusted
	refreshed bool   // Prepare was asked for fresh credentials
}

func (h *HTTP) newAttempt(ctx context.Context, token string) *attempt {
	ctx, cancel := context.WithCancelCause(ctx)
	u, _ := parseURL(h.URL) // Validate has seen it
	return &attempt{
		HTTP: h, ctx: ctx, cancel: cancel, rt: h.roundTripper(ctx), token: token,
		timeout: &TimeoutError{Op: "header", After: orDefault(h.HeaderTimeout, defaultHeaderTimeout)},
		url:     u, method: h.method(), body: h.Body, plain: atomic.LoadInt32(&h.gzip) != gzipOffered,
	}
}

// open brings the connection up to its first byte.
func (a *attempt) open() (*httpConn, error) {
	stop := after(a.timeout.After, func() { a.cancel(a.timeout) })
	defer stop()

	resp, err := a.follow()
	if err != nil {
		return nil, err
	}
	conn, err := a.admit(resp)
	if err != nil {
		a.discard(resp)
		if _, begun := err.(*ProtocolError); begun {
			err = a.once(err)
		}
		return nil, err
	}
	if !stop() {
		a.cancel(a.timeout) // unless it is about to do so itself
		resp.Body.Close()
		return nil, a.timeout
	}
	conn.start()
	return conn, nil
}

// failure is what Open says about err. When the attempt's context has ended, that is why
// err came about; only the judgement on a response stands when its body then took too
// long to drain.
func (a *attempt) failure(err error) error {
	cause := context.Cause(a.ctx)
	if _, broken := err.(*failed); cause == nil || cause == a.timeout && !broken {
		return err
	}
	if cause == a.timeout && a.waiting {
		a.timeout.compressor = a.silent(a.compresses(), a.plain)
	}
	return cause
}

// exchange sends the next request, and once more when it is refused for its
// credentials and Prepare can bring better ones.
func (a *attempt) exchange() (*http.Response, error) {
	ctx := a.ctx
	if a.fresh {
		ctx, a.fresh, a.refreshed = withRefresh(ctx), false, true
	}
	resp, err := a.send(ctx)
	if err != nil || !a.refuses(resp.StatusCode) || a.Prepare == nil || a.strange || a.refreshed {
		return resp, err
	}
	a.discard(resp)
	a.refreshed = true
	return a.send(withRefresh(a.ctx))
}

// refuses tells whether a status says that the credentials are not accepted. Of a server of
// WebSockets 403 is often all that it says.
func (a *attempt) refuses(code int) bool {
	return code == http.StatusUnauthorized || code == http.StatusForbidden && a.upgrade != nil
}

type refreshKey struct{}

// Refresh tells a Prepare function, by the context of its request, that the request is
// a repetition because the one before was answered with 401: credentials that are kept
// somewhere must be replaced.
func Refresh(ctx context.Context) bool {
	return ctx.Value(refreshKey{}) != nil
}

func withRefresh(ctx context.Context) context.Context {
	return context.WithValue(ctx, refreshKey{}, true)
}

func (a *attempt) send(ctx context.Context) (*http.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := a.request(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	if a.home == "" {
		a.home = originOf(req.URL)
	}
	if a.upgrade != nil {
		req = req.WithContext(throughTunnel(req.Context(), req.URL))
	}
	a.waiting = true
	var x exchangeTrace
	req = req.WithContext(x.with(req.Context()))
	resp, err := a.rt.RoundTrip(req)
	a.waiting = err != nil
	if err == nil && resp == nil {
		err = errors.New("the RoundTripper returned neither response nor error")
	}
	if err != nil {
		cancel()
		return nil, a.broken(req, &x, err)
	}
	if resp.Body == nil { // a RoundTripper that is not net/http's
		resp.Body = http.NoBody
	}
	if a.upgrade != nil && resp.StatusCode == http.StatusSwitchingProtocols {
		context.AfterFunc(ctx, cancel) // the body is the caller's to close
	} else {
		takeBody(resp, cancel)
	}
	resp.Request = req
	if jar := a.jar(); jar != nil && !a.strange {
		jar.SetCookies(req.URL, resp.Cookies())
	}
	return resp, nil
}

// request builds the next request from copies.
func (a *attempt) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, a.method, a.url.String(), bytes.NewReader(a.body))
	if err != nil {
		return nil, &final{&failed{a.shown(a.url), err}}
	}
	if a.strange {
		a.describeBody(req)
		a.addDefaults(req)
		return req, nil
	}
	if err := a.personalize(req); err != nil {
		return nil, err
	}
	return req, nil
}

// personalize adds what only a trusted origin may see.
func (a *attempt) personalize(req *http.Request) error {
	req.Header = canonical(a.Header)
	if a.method != a.HTTP.method() {
		dropBodyHeader(req.Header)
	}
	if host := req.Header.Get("Host"); host != "" && (a.home == "" || a.home == originOf(a.url)) {
		req.Host = host
	}
	a.addDefaults(req)
	if a.token != "" {
		var rejected interface{ RejectsToken() bool }
		switch err := a.resume()(req, a.token); {
		case errors.As(err, &rejected) && rejected.RejectsToken():
			return err
		case err != nil:
			return &final{err}
		}
	}
	if a.Prepare != nil {
		if err := a.Prepare(req); err != nil {
			return &failed{"prepare", err}
		}
	}
	if err := checkHeader(req.Header); err != nil {
		return &final{fmt.Errorf("transport: prepare: %w", err)}
	}
	if a.upgrade != nil {
		if u, err := parseURL(overHTTP(req.URL.String())); err == nil {
			req.URL = u
		}
		maps.Copy(req.Header, a.upgrade)
	}
	if user := req.URL.User; user != nil && req.Header.Get("Authorization") == "" {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	if jar := a.jar(); jar != nil {
		for _, c := range jar.Cookies(req.URL) {
			req.AddCookie(c)
		}
	}
	return nil
}

// describeBody adds what a body cannot be read without, wherever it goes.
func (a *attempt) describeBody(req *http.Request) {
	header := canonical(a.Header)
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		if v := header[name]; len(v) > 0 && len(a.body) > 0 {
			req.Header[name] = v
		}
	}
}

// addDefaults adds what the caller's header does not say, and the handshake of a
// WebSocket, which is not the caller's to change.
func (a *attempt) addDefaults(req *http.Request) {
	if a.upgrade != nil {
		maps.Copy(req.Header, a.upgrade)
		return
	}
	for name, value := range map[string]string{
		"Accept":          a.accept(),
		"Accept-Encoding": a.acceptEncoding(),
		"Cache-Control":   "no-cache",
	} {
		if _, set := req.Header[name]; !set && value != "" {
			req.Header.Set(name, value)
		}
	}
}

func (a *attempt) resume() Resume {
	if a.Resume != nil {
		return a.Resume
	}
	return ResumeHeader("Last-Event-ID")
}

// discard closes a response. The rest of its body is read if that is short and comes soon,
// so that net/http can use the connection again.
func (a *attempt) discard(resp *http.Response) {
	defer closeAfter(refusalTime, func() { resp.Body.Close() })()
	if resp.ContentLength <= maxDrain {
		io.CopyN(io.Discard, resp.Body, maxDrain)
	}
	resp.Body.Close()
}

// jar returns the caller's cookies, nil if there are none.
func (h *HTTP) jar() http.CookieJar {
	if h.Client == nil {
		return nil
	}
	return h.Client.Jar
}

// after calls f in d unless stop is called first; after a pause of the process a moment later.
// Zero is never.
func after(d time.Duration, f func()) (stop func() bool) {
	if d == 0 {
		return func() bool { return true }
	}
	l := &limit{fire: f}
	l.start(time.Now(), d)
	return l.stop
}

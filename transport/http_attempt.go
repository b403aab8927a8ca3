package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// maxDrain is how many bytes of an unwanted body are read so that its connection can be reused.
const maxDrain = 64 << 10

// An attempt leads from the URL to an open connection. It is used by one goroutine.
type attempt struct {
	feed     *HTTP
	protocol protocol
	ctx      context.Context // the lifetime of the connection
	cancel   context.CancelCauseFunc
	rt       http.RoundTripper
	token    string
	timeout  *TimeoutError // ends an attempt that takes too long

	// The next request.
	url    *url.URL
	method string
	body   []byte

	plain   bool // no compression is offered
	waiting bool // for a response header
	fresh   bool // Prepare must provide fresh credentials

	expiry      *expiry // as set for the last request
	firstOrigin string  // of the first request
	untrusted   bool    // a redirect has led to an untrusted origin
	mayHaveRun  bool    // the request of HTTP.ResumeByGet, which must not be sent again
	refreshed   bool    // Prepare was asked for fresh credentials
}

func (h *HTTP) newAttempt(ctx context.Context, token string) *attempt {
	ctx, cancel := context.WithCancelCause(ctx)
	u, _ := parseURL(h.URL) // checked by Validate
	a := &attempt{
		feed: h, ctx: ctx, cancel: cancel, rt: h.roundTripper(ctx), token: token,
		timeout: &TimeoutError{Op: "header", Origin: originOf(u), After: orDefault(h.HeaderTimeout, defaultHeaderTimeout)},
		url:     u, method: h.method(), body: h.Body, plain: atomic.LoadInt32(&h.gzip) != gzipOffered,
	}
	if a.resumesByGet() {
		a.method, a.body = http.MethodGet, nil
	}
	a.protocol = feedProtocol{a}
	return a
}

// open brings the connection up to the response header.
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
		if _, started := err.(*ProtocolError); started && !a.resumesByGet() {
			err = a.feed.once(err)
		}
		return nil, err
	}
	if !stop() {
		a.cancel(a.timeout) // unless the timer is about to do so
		resp.Body.Close()
		return nil, a.timeout
	}
	conn.start(a.expiry)
	return conn, nil
}

// failure returns what Open returns for err. If the attempt's context has ended, its cause is
// the reason, except that the verdict on a response stands when its body then took too long to
// drain.
func (a *attempt) failure(err error) error {
	cause := context.Cause(a.ctx)
	if _, broken := err.(*failed); cause == nil || cause == a.timeout && !broken {
		return err
	}
	if cause == a.timeout && a.waiting {
		a.timeout.compressor = a.feed.recordSilence(a.compresses(), a.plain)
	}
	return cause
}

// exchange sends the next request, and sends it again if its credentials are refused and
// Prepare can provide fresh ones.
func (a *attempt) exchange() (*http.Response, error) {
	ctx := a.ctx
	if a.fresh {
		ctx, a.fresh, a.refreshed = withRefresh(ctx), false, true
	}
	resp, err := a.send(ctx)
	if err != nil || !a.protocol.rejectsCredentials(resp.StatusCode) || a.feed.Prepare == nil || a.untrusted || a.refreshed {
		return resp, err
	}
	a.discard(resp)
	a.refreshed = true
	return a.send(withRefresh(a.ctx))
}

type refreshKey struct{}

// CredentialsRejected reports whether the server has rejected the last credentials, so that
// Prepare or OnConnect must replace stored ones: after a 401, and for a WebSocket also after a 403
// or a close code that asks for fresh credentials. ctx is the context of Prepare's request or that
// of OnConnect.
func CredentialsRejected(ctx context.Context) bool {
	return ctx.Value(refreshKey{}) != nil
}

func withRefresh(ctx context.Context) context.Context {
	return context.WithValue(ctx, refreshKey{}, true)
}

func (a *attempt) send(ctx context.Context) (*http.Response, error) {
	a.expiry = new(expiry)
	ctx, cancel := a.exchangeContext(withExpiry(ctx, a.expiry))
	req, err := a.request(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	if a.firstOrigin == "" {
		a.firstOrigin = originOf(req.URL)
	}
	a.waiting = true
	var x exchangeTrace
	req = req.WithContext(x.with(req.Context()))
	a.mayHaveRun = a.mayHaveRun || a.method == a.feed.method()
	resp, err := a.rt.RoundTrip(req)
	a.waiting = err != nil
	if err == nil && resp == nil {
		err = errors.New("RoundTripper returned neither a response nor an error")
	}
	a.recordEffect(resp, &x)
	if err != nil {
		cancel()
		return nil, a.broken(req, &x, err)
	}
	if resp.Body == nil { // not by net/http's RoundTripper
		resp.Body = http.NoBody
	}
	if !a.protocol.switches(resp.StatusCode) {
		takeBody(resp, cancel)
	}
	resp.Request = req
	if jar := a.feed.jar(); jar != nil && !a.untrusted {
		jar.SetCookies(req.URL, resp.Cookies())
	}
	return resp, nil
}

// exchangeContext returns the context of a request, which ends with the body of the response. That
// of a handshake ends with the attempt, because the body is the connection.
func (a *attempt) exchangeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.protocol.switches(http.StatusSwitchingProtocols) {
		return ctx, func() {}
	}
	return context.WithCancel(ctx)
}

// request builds the next request from copies.
func (a *attempt) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, a.method, a.url.String(), bytes.NewReader(a.body))
	if err != nil {
		return nil, &final{&failed{a.shown(a.url), err}}
	}
	if a.untrusted {
		a.describeBody(req)
		a.protocol.addHeader(req.Header)
		a.protocol.restore(req)
		return req, nil
	}
	if err := a.personalize(req); err != nil {
		return nil, err
	}
	return req, nil
}

// personalize adds what only a trusted origin may receive.
func (a *attempt) personalize(req *http.Request) error {
	req.Header = canonical(a.feed.Header)
	if a.method != a.feed.method() {
		dropBodyHeader(req.Header)
	}
	if host := req.Header.Get("Host"); host != "" && (a.firstOrigin == "" || a.firstOrigin == originOf(a.url)) {
		req.Host = host
	}
	a.protocol.addHeader(req.Header)
	if a.token != "" {
		var rejected interface{ RejectsToken() bool }
		switch err := a.resume()(req, a.token); {
		case errors.As(err, &rejected) && rejected.RejectsToken():
			return err
		case err != nil:
			return &final{err}
		}
	}
	if a.feed.Prepare != nil {
		if err := a.feed.Prepare(req); err != nil {
			return &failed{"Prepare", err}
		}
	}
	if err := checkHeader(req.Header); err != nil {
		return &final{fmt.Errorf("transport: Prepare: %w", err)}
	}
	a.protocol.restore(req)
	if user := req.URL.User; user != nil && req.Header.Get("Authorization") == "" {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	if jar := a.feed.jar(); jar != nil {
		for _, c := range jar.Cookies(req.URL) {
			req.AddCookie(c)
		}
	}
	return nil
}

// describeBody adds the headers without which a body cannot be read, for any origin.
func (a *attempt) describeBody(req *http.Request) {
	header := canonical(a.feed.Header)
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		if v := header[name]; len(v) > 0 && len(a.body) > 0 {
			req.Header[name] = v
		}
	}
}

func (a *attempt) resume() Resume {
	if a.feed.Resume != nil {
		return a.feed.Resume
	}
	return ResumeHeader("Last-Event-ID")
}

// discard closes a response. It first reads the rest of the body if that is short and arrives
// soon, so that net/http can reuse the connection.
func (a *attempt) discard(resp *http.Response) {
	defer closeAfter(refusalTime, func() { resp.Body.Close() })()
	if resp.ContentLength <= maxDrain {
		io.CopyN(io.Discard, resp.Body, maxDrain)
	}
	resp.Body.Close()
}

// jar returns the caller's cookies, or nil.
func (h *HTTP) jar() http.CookieJar {
	if h.Client == nil {
		return nil
	}
	return h.Client.Jar
}

// after calls f after d, or a moment later after a pause of the process, unless stop is called
// first. A zero d means never.
func after(d time.Duration, f func()) (stop func() bool) {
	if d == 0 {
		return func() bool { return true }
	}
	l := &deadline{fire: f}
	l.start(time.Now(), d)
	return l.stop
}

package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
)

// errSent is the error of an Open without a token, if an HTTP with ResumeByGet has already sent its
// request.
var errSent = errors.New("transport: request was already sent and is not repeated without a token (HTTP.ResumeByGet): use another HTTP for another request")

// resumesByGet reports whether the attempt sends a GET in place of the feed's request.
func (a *attempt) resumesByGet() bool { return a.feed.ResumeByGet && a.token != "" }

// claim reports whether the attempt may send its request. It reserves a request that must be sent
// only once: another Open may run at the same time.
func (a *attempt) claim() bool {
	switch {
	case !a.feed.ResumeByGet:
		return true
	case a.token != "": // it was sent, maybe by an earlier process
		atomic.StoreInt32(&a.feed.sent, 1)
		return true
	}
	return atomic.CompareAndSwapInt32(&a.feed.sent, 0, 1)
}

// recordEffect records whether the request may have taken effect. Each request of the attempt
// overrides the one before, except a GET to which a redirect has led.
func (a *attempt) recordEffect(resp *http.Response, x *exchangeTrace) {
	if !a.feed.ResumeByGet || a.method != a.feed.method() {
		return
	}
	if resp == nil {
		a.mayHaveRun = x.connected.Load() || !x.traced.Load()
		return
	}
	switch code := resp.StatusCode; {
	case code == http.StatusTemporaryRedirect, code == http.StatusPermanentRedirect,
		code >= 400 && code < 500, code == http.StatusServiceUnavailable:
		a.mayHaveRun = false
	default:
		a.mayHaveRun = true
	}
}

// settle returns the error of an attempt that failed with err. It releases the claim of a request
// that has had no effect. ctx is the one of Open.
func (a *attempt) settle(ctx context.Context, err error) error {
	if !a.feed.ResumeByGet {
		return err
	}
	unclaim := a.token == "" && !a.mayHaveRun
	if unclaim {
		atomic.StoreInt32(&a.feed.sent, 0)
	}
	var f *final
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrComplete), errors.As(err, &f), unclaim:
		return err
	case a.token == "":
		return &final{fmt.Errorf("%w (the request may have taken effect and is not sent again)", err)}
	case isRefused(err):
		return &final{err}
	}
	return err
}

// isRefused reports whether the response to a request that resumes is final: the session, the
// response or the position no longer exists.
func isRefused(err error) bool {
	var rejected interface{ RejectsToken() bool }
	if errors.As(err, &rejected) && rejected.RejectsToken() {
		return true
	}
	var status *StatusError
	if !errors.As(err, &status) || status.proxy || status.Code >= 500 || status.RetryAfter() > 0 {
		return false
	}
	switch status.Code {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusConflict, http.StatusMisdirectedRequest,
		http.StatusTooEarly, http.StatusTooManyRequests, statusEnhanceYourCalm:
		return false
	}
	return true
}

package webhook

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// The Retry-After of a refusal is random between these limits, so that senders that are refused
// together do not retry together.
const (
	minRetryAfter = 5 * time.Second
	maxRetryAfter = 15 * time.Second
)

// drainTime limits how long the server reads the rest of a request that is refused before its
// body.
const (
	drainTime      = 5 * time.Second
	drainTimeHTTP2 = time.Second
	drainSizeHTTP2 = 64 << 10
)

// accept answers a delivery whose events are acknowledged or queued, or that has none.
func (x *exchange) accept(d *provider.Delivery) {
	if d.Answer != nil {
		x.refuse(d.Answer, http.StatusOK, errAnswer)
		return
	}
	a := &x.from.Answers.Accepted
	if queued := &x.from.Answers.Queued; x.hook.Ack == AckOnEnqueue && !isZero(queued) {
		a = queued
	}
	x.answer(a, http.StatusNoContent)
}

// acceptAgain answers a repeated delivery that is acknowledged.
func (x *exchange) acceptAgain(d *provider.Delivery) {
	if a := &x.from.Answers.Duplicate; !isZero(a) {
		x.answer(a, http.StatusOK)
		return
	}
	x.accept(d)
}

func isZero(a *provider.Answer) bool { return a.Status == 0 && a.Header == nil && a.Body == nil }

// judge returns the answer to a request that was refused with err.
func (x *exchange) judge(err error) (*provider.Answer, int, error) {
	var forged interface{ Forged() bool }
	if errors.As(err, &forged) && forged.Forged() {
		var unknown interface{ Unknown() bool }
		if a := &x.from.Answers.Unknown; errors.As(err, &unknown) && unknown.Unknown() && !isZero(a) {
			return a, http.StatusNotFound, err
		}
		x.challenge(err)
		return &x.from.Answers.Forged, http.StatusUnauthorized, err
	}
	var late interface{ Busy() bool }
	if errors.As(err, &late) && late.Busy() {
		return &x.from.Answers.Busy, http.StatusServiceUnavailable, err
	}
	var large interface{ TooLarge() bool }
	if errors.As(err, &large) && large.TooLarge() {
		return &provider.Answer{}, http.StatusRequestEntityTooLarge, err
	}
	if err == errCrowded {
		return &x.from.Answers.Busy, http.StatusServiceUnavailable, err
	}
	if err == errCoding {
		return &provider.Answer{}, http.StatusUnsupportedMediaType, err
	}
	return &x.from.Answers.Malformed, http.StatusBadRequest, err
}

// challenge sets WWW-Authenticate if the answer is 401 and the scheme has an HTTP name.
func (x *exchange) challenge(err error) {
	if s := x.from.Answers.Forged.Status; s != 0 && s != http.StatusUnauthorized {
		return
	}
	var c interface{ Challenge() string }
	if errors.As(err, &c) && c.Challenge() != "" {
		x.rw.Header().Set("WWW-Authenticate", c.Challenge())
	}
}

// refuseUnread is refuse for a request whose body has not been read.
func (x *exchange) refuseUnread(a *provider.Answer, status int, err error) {
	leaveUnread(x.rw, x.r)
	x.refuse(a, status, err)
}

// notFound refuses a request for an unknown path.
func (w *Receiver) notFound(rw http.ResponseWriter, r *http.Request) {
	leaveUnread(rw, r)
	rw.WriteHeader(http.StatusNotFound) // no body, which a slow reader could use to delay the return
	if w.OnRejected != nil {
		w.report("", "", http.StatusNotFound, w.pathError(r.URL.Path))
	}
}

// pathsNamed is the maximum number of configured paths in an error.
const pathsNamed = 8

// pathError explains why a path is unknown. It names configured paths only.
func (w *Receiver) pathError(path string) error {
	paths := slices.Sorted(maps.Keys(w.Providers))
	for _, p := range paths {
		switch {
		case path == p+"/" || path+"/" == p:
			return fmt.Errorf("%w: it differs from %q by a trailing slash", errNoPath, p)
		case len(path) > 1 && path[0] == '/' && strings.HasSuffix(p, path):
			return fmt.Errorf("%w: it is the end of %q: a handler or proxy removed the start, as http.StripPrefix does: remove it from the key in Providers too", errNoPath, p)
		case len(p) > 1 && strings.HasSuffix(path, p):
			return fmt.Errorf("%w: it has a prefix before %q: add the prefix to the key in Providers, or use http.StripPrefix", errNoPath, p)
		}
	}
	more := ""
	if n := len(paths) - pathsNamed; n > 0 {
		paths, more = paths[:pathsNamed], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("%w: Providers has %q%s", errNoPath, paths, more)
}

// leaveUnread limits how long the server reads a body that is not used. Over HTTP/2, the server resets
// the stream of a body that its handler leaves, and some clients, such as libcurl 7.88, then drop the
// answer: a short body is read here.
func leaveUnread(rw http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 || r.Body == nil {
		return
	}
	limit := drainTime
	if r.ProtoMajor >= 2 {
		limit = drainTimeHTTP2
	}
	http.NewResponseController(rw).SetReadDeadline(time.Now().Add(limit))
	if r.ProtoMajor >= 2 && r.ContentLength <= drainSizeHTTP2 {
		io.CopyN(io.Discard, r.Body, drainSizeHTTP2)
	}
}

// refuseBody is refuse for a request whose body cannot be read. The rest of it is not read.
func (x *exchange) refuseBody(err error) {
	a, status := &provider.Answer{}, http.StatusBadRequest
	var consumed *consumedError
	switch {
	case errors.Is(err, errTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, errSlow):
		status = http.StatusRequestTimeout
	case errors.Is(err, errCrowded) || errors.As(err, &consumed): // the sender should repeat it
		a, status = &x.from.Answers.Busy, http.StatusServiceUnavailable
	}
	http.NewResponseController(x.rw).SetReadDeadline(time.Now()) // else the server would wait for the rest
	x.rw.Header().Set("Connection", "close")
	x.refuse(a, status, err)
}

// refuse answers with a, or with status if a has none, and reports err unless the answer is a 2xx.
func (x *exchange) refuse(a *provider.Answer, status int, err error) {
	if status = x.answer(a, status); status/100 != 2 {
		x.hook.report(x.from.Name, x.req.Tenant(), status, err)
	}
}

// report calls OnRejected.
func (w *Receiver) report(provider, tenant string, status int, err error) {
	if w.OnRejected != nil {
		w.OnRejected(&RejectedError{Provider: provider, Tenant: tenant, Status: status, Err: err})
	}
}

// answer sends a and returns its status. It calls Header only to set a field: net/http copies the
// header of a handler that has called it.
func (x *exchange) answer(a *provider.Answer, status int) int {
	x.answered = true
	if a.Status != 0 {
		status = a.Status
	}
	for name, values := range a.Header {
		x.rw.Header()[http.CanonicalHeaderKey(name)] = append([]string(nil), values...)
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		x.setDefault("Retry-After", randomRetryAfter())
	}
	if len(a.Body) > 0 {
		x.setDefault("Content-Type", "text/plain; charset=utf-8")
		x.setDefault("X-Content-Type-Options", "nosniff")
	}
	x.rw.WriteHeader(status)
	if len(a.Body) > 0 {
		x.rw.Write(a.Body)
	}
	return status
}

// setDefault sets a header of the answer unless it is set.
func (x *exchange) setDefault(name, value string) {
	if h := x.rw.Header(); h[name] == nil {
		h.Set(name, value)
	}
}

// randomRetryAfter returns a Retry-After in whole seconds (RFC 9110, section 10.2.3).
func randomRetryAfter() string {
	least, most := int(minRetryAfter/time.Second), int(maxRetryAfter/time.Second)
	return strconv.Itoa(least + rand.IntN(most-least+1))
}

// panicked returns the error for a panic. It shows only a runtime.Error: any other value may
// contain parts of the request.
func panicked(v any) error {
	if err, ok := v.(runtime.Error); ok {
		return fmt.Errorf("%w: %v", errPanic, err)
	}
	return errPanic
}

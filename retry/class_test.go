package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// status is an error with nothing but a status.
type status int

func (s status) Error() string   { return fmt.Sprintf("status %d", int(s)) }
func (s status) StatusCode() int { return int(s) }

// later is a status with Retry-After.
type later struct {
	status
	after time.Duration
}

func (l later) RetryAfter() time.Duration { return l.after }

// gone is the error of a transport whose token was rejected.
type gone struct{ status }

func (gone) RejectsToken() bool { return true }

// here is the error of a transport whose token was not rejected.
type here struct{ status }

func (here) RejectsToken() bool { return false }

// mendable has the method Retryable and wraps another error.
type mendable struct {
	ok  bool
	err error
}

func (m mendable) Error() string   { return "mendable" }
func (m mendable) Retryable() bool { return m.ok }
func (m mendable) Unwrap() error   { return m.err }

// mendableStatus is a status with the method Retryable.
type mendableStatus struct {
	status
	ok bool
}

func (m mendableStatus) Retryable() bool { return m.ok }

type garbage struct{}

func (garbage) Error() string  { return "not a feed" }
func (garbage) Protocol() bool { return true }

// finalGarbage is the error of a transport for an HTML page with status 200.
type finalGarbage struct{ garbage }

func (finalGarbage) Retryable() bool { return false }

// disguised is a status for errors.As only, like the errors of HTTP/2 streams.
type disguised struct{ status status }

func (disguised) Error() string { return "disguised" }
func (d disguised) As(target any) bool {
	t, ok := target.(*interface{ StatusCode() int })
	if ok {
		*t = d.status
	}
	return ok
}

func TestClassifyStatus(t *testing.T) {
	want := map[int]retry.Class{
		101: retry.ClassProtocol, 199: retry.ClassProtocol,
		200: retry.ClassProtocol, 202: retry.ClassProtocol, 205: retry.ClassProtocol, 206: retry.ClassProtocol,
		204: retry.ClassPermanent,
		300: retry.ClassProtocol, 302: retry.ClassProtocol, 304: retry.ClassProtocol, 399: retry.ClassProtocol,
		401: retry.ClassAuth,
		400: retry.ClassPermanent, 402: retry.ClassPermanent, 403: retry.ClassPermanent, 404: retry.ClassPermanent,
		405: retry.ClassPermanent, 406: retry.ClassPermanent, 407: retry.ClassPermanent,
		410: retry.ClassPermanent, 413: retry.ClassPermanent, 414: retry.ClassPermanent, 416: retry.ClassPermanent,
		426: retry.ClassPermanent, 451: retry.ClassPermanent, 499: retry.ClassPermanent,
		408: retry.ClassServer, 409: retry.ClassServer, 421: retry.ClassServer, 425: retry.ClassServer,
		420: retry.ClassRateLimited, 429: retry.ClassRateLimited,
		500: retry.ClassServer, 501: retry.ClassServer, 502: retry.ClassServer, 503: retry.ClassServer,
		504: retry.ClassServer, 529: retry.ClassServer, 599: retry.ClassServer,
		0:  retry.ClassNetwork, // there was no response
		-1: retry.ClassServer, 99: retry.ClassServer, 600: retry.ClassServer, 999: retry.ClassServer,
	}
	for code, class := range want {
		if got := retry.Classify(status(code)); got != class {
			t.Errorf("Classify(%d) = %v, want %v", code, got, class)
		}
		if got := retry.Classify(fmt.Errorf("open: %w", status(code))); got != class {
			t.Errorf("Classify(%d), wrapped, = %v, want %v", code, got, class)
		}
	}
}

func TestClassifyBehaviour(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want retry.Class
	}{
		"nil":          {nil, retry.ClassNetwork},
		"clean end":    {io.EOF, retry.ClassNetwork},
		"cut":          {io.ErrUnexpectedEOF, retry.ClassNetwork},
		"wrapped cut":  {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), retry.ClassNetwork},
		"unknown":      {errors.New("status 404, permanent, certificate"), retry.ClassNetwork},
		"deadline":     {context.DeadlineExceeded, retry.ClassNetwork},
		"timeout":      {os.ErrDeadlineExceeded, retry.ClassNetwork},
		"no such host": {&net.DNSError{Err: "no such host", IsNotFound: true}, retry.ClassNetwork},
		"refused": {&url.Error{Op: "Get", URL: "http://h/", Err: &net.OpError{
			Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}, retry.ClassNetwork},

		"403 with Retry-After":        {later{403, sec}, retry.ClassRateLimited},
		"403 with a Retry-After of 0": {later{403, 0}, retry.ClassPermanent},
		"413 with Retry-After":        {later{413, sec}, retry.ClassRateLimited},
		"418 with Retry-After":        {later{418, sec}, retry.ClassRateLimited}, // of Binance
		"401 with Retry-After":        {later{401, sec}, retry.ClassAuth},
		"410 with Retry-After":        {later{410, sec}, retry.ClassPermanent},
		"503 with an hour":            {later{503, time.Hour}, retry.ClassServer},
		"200 with Retry-After":        {later{200, sec}, retry.ClassProtocol},
		"404 with Retryable false":    {mendable{false, later{404, sec}}, retry.ClassPermanent},

		"410 in answer to a token": {gone{410}, retry.ClassTokenRejected},
		"wrapped 410":              {fmt.Errorf("open: %w", gone{410}), retry.ClassTokenRejected},
		"410 without a token":      {here{410}, retry.ClassPermanent},
		"503 without a token":      {here{503}, retry.ClassServer},
		"503 with Retry-After":     {later{503, time.Minute}, retry.ClassServer},
		"Retryable false":          {mendable{false, nil}, retry.ClassPermanent},
		"Retryable true":           {mendable{true, nil}, retry.ClassNetwork},
		"protocol":                 {garbage{}, retry.ClassProtocol},
		"HTML page":                {finalGarbage{}, retry.ClassPermanent},
		"status for errors.As":     {disguised{503}, retry.ClassServer},

		"503 with Retryable false":     {mendableStatus{503, false}, retry.ClassPermanent},
		"429 with Retryable false":     {mendableStatus{429, false}, retry.ClassPermanent},
		"401 with Retryable false":     {mendableStatus{401, false}, retry.ClassAuth},
		"200 with Retryable false":     {mendableStatus{200, false}, retry.ClassProtocol},
		"400 with Retryable true":      {mendableStatus{400, true}, retry.ClassServer},
		"429 with Retryable true":      {mendableStatus{429, true}, retry.ClassRateLimited},
		"wrapper with Retryable false": {mendable{false, status(503)}, retry.ClassPermanent},
		"wrapper with Retryable true":  {mendable{true, status(404)}, retry.ClassNetwork},
		"true keeps 429":               {mendable{true, status(429)}, retry.ClassRateLimited},
		"true over false":              {mendable{true, mendable{false, nil}}, retry.ClassNetwork},
		"false over true":              {mendable{false, mendable{true, nil}}, retry.ClassPermanent},

		"joined":             {errors.Join(io.EOF, status(429)), retry.ClassRateLimited},
		"first of joined":    {errors.Join(status(503), status(404)), retry.ClassServer},
		"deep in a join":     {errors.Join(io.EOF, fmt.Errorf("a: %w", errors.Join(errors.New("b"), garbage{}))), retry.ClassProtocol},
		"true before 404":    {errors.Join(mendable{true, nil}, status(404)), retry.ClassNetwork},
		"several with verbs": {fmt.Errorf("%w and %w", io.EOF, gone{410}), retry.ClassTokenRejected},
	} {
		t.Run(name, func(t *testing.T) {
			if got := retry.Classify(tt.err); got != tt.want {
				t.Errorf("Classify(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}

func TestClassString(t *testing.T) {
	seen := map[string]bool{}
	for c := retry.ClassNetwork; c <= retry.ClassPermanent; c++ {
		if s := c.String(); s == "" || seen[s] {
			t.Errorf("String of class %d = %q, want a name of its own", uint8(c), s)
		} else {
			seen[s] = true
		}
	}
	if got := retry.ClassRateLimited.String(); got != "rate limited" {
		t.Errorf("String = %q, want rate limited", got)
	}
	if got := retry.Class(200).String(); got != "Class(200)" {
		t.Errorf("String = %q, want Class(200)", got)
	}
}

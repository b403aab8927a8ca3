package retry_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// status is the least that an error of an HTTP client can say.
type status int

func (s status) Error() string   { return fmt.Sprintf("status %d", int(s)) }
func (s status) StatusCode() int { return int(s) }

// later is a status with Retry-After.
type later struct {
	status
	after time.Duration
}

func (l later) RetryAfter() time.Duration { return l.after }

// gone is what a transport makes of 410 in answer to a token.
type gone struct{ status }

func (gone) RejectsToken() bool { return true }

// here says that the position was not the trouble.
type here struct{ status }

func (here) RejectsToken() bool { return false }

// mendable says for itself whether it can be retried, and wraps another error.
type mendable struct {
	ok  bool
	err error
}

func (m mendable) Error() string   { return "mendable" }
func (m mendable) Retryable() bool { return m.ok }
func (m mendable) Unwrap() error   { return m.err }

// mendableStatus says so of a status.
type mendableStatus struct {
	status
	ok bool
}

func (m mendableStatus) Retryable() bool { return m.ok }

// alert is what crypto/tls makes of an alert of the peer.
func alert(code tls.AlertError) error { return &net.OpError{Op: "remote error", Err: code} }

type garbage struct{}

func (garbage) Error() string  { return "not a feed" }
func (garbage) Protocol() bool { return true }

// finalGarbage is what a transport makes of an HTML page with status 200.
type finalGarbage struct{ garbage }

func (finalGarbage) Retryable() bool { return false }

// disguised is a status only for those who ask with errors.As, as the errors of
// HTTP/2 streams are.
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
			t.Errorf("%d: %v, want %v", code, got, class)
		}
		if got := retry.Classify(fmt.Errorf("open: %w", status(code))); got != class {
			t.Errorf("%d, wrapped: %v, want %v", code, got, class)
		}
	}
}

func TestClassifyBehaviour(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want retry.Class
	}{
		"nil":               {nil, retry.ClassNetwork},
		"end in good order": {io.EOF, retry.ClassNetwork},
		"cut":               {io.ErrUnexpectedEOF, retry.ClassNetwork},
		"wrapped cut":       {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), retry.ClassNetwork},
		"unknown":           {errors.New("status 404, permanent, certificate"), retry.ClassNetwork},
		"deadline":          {context.DeadlineExceeded, retry.ClassNetwork},
		"timeout":           {os.ErrDeadlineExceeded, retry.ClassNetwork},
		"no such host":      {&net.DNSError{Err: "no such host", IsNotFound: true}, retry.ClassNetwork},
		"refused": {&url.Error{Op: "Get", URL: "http://h/", Err: &net.OpError{
			Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}, retry.ClassNetwork},
		"alert, internal error":       {alert(80), retry.ClassNetwork},
		"alert, user canceled":        {alert(90), retry.ClassNetwork},
		"alert, bad record":           {alert(20), retry.ClassNetwork},
		"alert, handshake failure":    {alert(40), retry.ClassProtocol},
		"alert, unknown authority":    {alert(48), retry.ClassProtocol},
		"alert, protocol version":     {alert(70), retry.ClassProtocol},
		"alert, certificate required": {alert(116), retry.ClassProtocol},
		"alert, wrapped":              {fmt.Errorf("open: %w", alert(116)), retry.ClassProtocol},
		"alert of this side":          {&net.OpError{Op: "local error", Err: tls.AlertError(70)}, retry.ClassNetwork},
		"not TLS":                     {fmt.Errorf("open: %w", tls.RecordHeaderError{Msg: "m"}), retry.ClassProtocol},

		"403 with Retry-After":          {later{403, sec}, retry.ClassRateLimited},
		"403 with a Retry-After of 0":   {later{403, 0}, retry.ClassPermanent},
		"413 with Retry-After":          {later{413, sec}, retry.ClassRateLimited},
		"418 with Retry-After":          {later{418, sec}, retry.ClassRateLimited}, // of Binance
		"401 with Retry-After":          {later{401, sec}, retry.ClassAuth},
		"410 with Retry-After":          {later{410, sec}, retry.ClassPermanent},
		"503 with an hour":              {later{503, time.Hour}, retry.ClassServer},
		"200 with Retry-After":          {later{200, sec}, retry.ClassProtocol},
		"404 of a wrapper that is sure": {mendable{false, later{404, sec}}, retry.ClassPermanent},

		"410 in answer to a token": {gone{410}, retry.ClassTokenRejected},
		"wrapped 410":              {fmt.Errorf("open: %w", gone{410}), retry.ClassTokenRejected},
		"410 without a token":      {here{410}, retry.ClassPermanent},
		"503 without a token":      {here{503}, retry.ClassServer},
		"503 with Retry-After":     {later{503, time.Minute}, retry.ClassServer},
		"not to be retried":        {mendable{false, nil}, retry.ClassPermanent},
		"to be retried":            {mendable{true, nil}, retry.ClassNetwork},
		"protocol":                 {garbage{}, retry.ClassProtocol},
		"HTML page":                {finalGarbage{}, retry.ClassPermanent},
		"hidden status":            {disguised{503}, retry.ClassServer},

		"503 that says no":   {mendableStatus{503, false}, retry.ClassPermanent},
		"429 that says no":   {mendableStatus{429, false}, retry.ClassPermanent},
		"401 that says no":   {mendableStatus{401, false}, retry.ClassAuth},
		"200 that says no":   {mendableStatus{200, false}, retry.ClassProtocol},
		"400 that says yes":  {mendableStatus{400, true}, retry.ClassServer},
		"429 that says yes":  {mendableStatus{429, true}, retry.ClassRateLimited},
		"wrapper says no":    {mendable{false, status(503)}, retry.ClassPermanent},
		"wrapper says yes":   {mendable{true, status(404)}, retry.ClassNetwork},
		"yes keeps the rate": {mendable{true, status(429)}, retry.ClassRateLimited},
		"yes over no":        {mendable{true, mendable{false, nil}}, retry.ClassNetwork},
		"no over yes":        {mendable{false, mendable{true, nil}}, retry.ClassPermanent},

		"joined":             {errors.Join(io.EOF, status(429)), retry.ClassRateLimited},
		"first of joined":    {errors.Join(status(503), status(404)), retry.ClassServer},
		"deep in a join":     {errors.Join(io.EOF, fmt.Errorf("a: %w", errors.Join(errors.New("b"), garbage{}))), retry.ClassProtocol},
		"yes before the no":  {errors.Join(mendable{true, nil}, status(404)), retry.ClassNetwork},
		"several with verbs": {fmt.Errorf("%w and %w", io.EOF, gone{410}), retry.ClassTokenRejected},

		"unknown authority": {x509.UnknownAuthorityError{}, retry.ClassPermanent},
		"other host":        {x509.HostnameError{Certificate: &x509.Certificate{}}, retry.ClassPermanent},
		"no system roots":   {x509.SystemRootsError{}, retry.ClassPermanent},
		"bad usage":         {x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}, retry.ClassPermanent},
		"expired":           {x509.CertificateInvalidError{Reason: x509.Expired}, retry.ClassNetwork},
		"verification": {&tls.CertificateVerificationError{
			Err: x509.InsecureAlgorithmError(x509.MD5WithRSA)}, retry.ClassPermanent},
	} {
		t.Run(name, func(t *testing.T) {
			if got := retry.Classify(tt.err); got != tt.want {
				t.Errorf("Classify(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}

// TestClassifyCertificate takes the errors that net/http really returns.
func TestClassifyCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	notAfter := srv.Certificate().NotAfter
	notBefore := srv.Certificate().NotBefore

	for name, tt := range map[string]struct {
		config *tls.Config
		want   retry.Class
	}{
		"unknown authority": {&tls.Config{RootCAs: x509.NewCertPool()}, retry.ClassPermanent},
		"other host":        {&tls.Config{RootCAs: roots, ServerName: "elsewhere.test"}, retry.ClassPermanent},
		"expired":           {&tls.Config{RootCAs: roots, Time: at(notAfter.Add(time.Hour))}, retry.ClassNetwork},
		"not yet valid":     {&tls.Config{RootCAs: roots, Time: at(notBefore.Add(-time.Hour))}, retry.ClassNetwork},
		"no common version": {&tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS10, MinVersion: tls.VersionTLS10}, retry.ClassProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			tr := &http.Transport{TLSClientConfig: tt.config}
			defer tr.CloseIdleConnections()
			resp, err := (&http.Client{Transport: tr}).Get(srv.URL)
			if err == nil {
				resp.Body.Close()
				t.Fatal("the handshake succeeded")
			}
			if got := retry.Classify(err); got != tt.want {
				t.Errorf("Classify(%v) = %v, want %v", err, got, tt.want)
			}
		})
	}
}

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func TestClassString(t *testing.T) {
	seen := map[string]bool{}
	for c := retry.ClassNetwork; c <= retry.ClassPermanent; c++ {
		if s := c.String(); s == "" || seen[s] {
			t.Errorf("class %d is called %q", uint8(c), s)
		} else {
			seen[s] = true
		}
	}
	if got := retry.ClassRateLimited.String(); got != "rate limited" {
		t.Errorf("RateLimited is called %q", got)
	}
	if got := retry.Class(200).String(); got != "Class(200)" {
		t.Errorf("Class(200) is called %q", got)
	}
}

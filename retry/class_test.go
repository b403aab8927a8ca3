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
		101: retry.Protocol, 199: retry.Protocol,
		200: retry.Protocol, 202: retry.Protocol, 205: retry.Protocol, 206: retry.Protocol,
		204: retry.Permanent,
		300: retry.Protocol, 302: retry.Protocol, 304: retry.Protocol, 399: retry.Protocol,
		401: retry.Auth,
		400: retry.Permanent, 402: retry.Permanent, 403: retry.Permanent, 404: retry.Permanent,
		405: retry.Permanent, 406: retry.Permanent, 407: retry.Permanent,
		410: retry.Permanent, 413: retry.Permanent, 414: retry.Permanent, 416: retry.Permanent,
		426: retry.Permanent, 451: retry.Permanent, 499: retry.Permanent,
		408: retry.Server, 409: retry.Server, 421: retry.Server, 425: retry.Server,
		420: retry.RateLimited, 429: retry.RateLimited,
		500: retry.Server, 501: retry.Server, 502: retry.Server, 503: retry.Server,
		504: retry.Server, 529: retry.Server, 599: retry.Server,
		0:  retry.Network, // there was no response
		-1: retry.Server, 99: retry.Server, 600: retry.Server, 999: retry.Server,
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
		"nil":               {nil, retry.Network},
		"end in good order": {io.EOF, retry.Network},
		"cut":               {io.ErrUnexpectedEOF, retry.Network},
		"wrapped cut":       {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), retry.Network},
		"unknown":           {errors.New("status 404, permanent, certificate"), retry.Network},
		"deadline":          {context.DeadlineExceeded, retry.Network},
		"timeout":           {os.ErrDeadlineExceeded, retry.Network},
		"no such host":      {&net.DNSError{Err: "no such host", IsNotFound: true}, retry.Network},
		"refused": {&url.Error{Op: "Get", URL: "http://h/", Err: &net.OpError{
			Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}, retry.Network},
		"alert, internal error":       {alert(80), retry.Network},
		"alert, user canceled":        {alert(90), retry.Network},
		"alert, bad record":           {alert(20), retry.Network},
		"alert, handshake failure":    {alert(40), retry.Protocol},
		"alert, unknown authority":    {alert(48), retry.Protocol},
		"alert, protocol version":     {alert(70), retry.Protocol},
		"alert, certificate required": {alert(116), retry.Protocol},
		"alert, wrapped":              {fmt.Errorf("open: %w", alert(116)), retry.Protocol},
		"alert of this side":          {&net.OpError{Op: "local error", Err: tls.AlertError(70)}, retry.Network},
		"not TLS":                     {fmt.Errorf("open: %w", tls.RecordHeaderError{Msg: "m"}), retry.Protocol},

		"403 with Retry-After":          {later{403, sec}, retry.RateLimited},
		"403 with a Retry-After of 0":   {later{403, 0}, retry.Permanent},
		"413 with Retry-After":          {later{413, sec}, retry.RateLimited},
		"418 with Retry-After":          {later{418, sec}, retry.RateLimited}, // of Binance
		"401 with Retry-After":          {later{401, sec}, retry.Auth},
		"410 with Retry-After":          {later{410, sec}, retry.Permanent},
		"503 with an hour":              {later{503, time.Hour}, retry.Server},
		"200 with Retry-After":          {later{200, sec}, retry.Protocol},
		"404 of a wrapper that is sure": {mendable{false, later{404, sec}}, retry.Permanent},

		"410 in answer to a token": {gone{410}, retry.TokenRejected},
		"wrapped 410":              {fmt.Errorf("open: %w", gone{410}), retry.TokenRejected},
		"410 without a token":      {here{410}, retry.Permanent},
		"503 without a token":      {here{503}, retry.Server},
		"503 with Retry-After":     {later{503, time.Minute}, retry.Server},
		"not to be retried":        {mendable{false, nil}, retry.Permanent},
		"to be retried":            {mendable{true, nil}, retry.Network},
		"protocol":                 {garbage{}, retry.Protocol},
		"HTML page":                {finalGarbage{}, retry.Permanent},
		"hidden status":            {disguised{503}, retry.Server},

		"503 that says no":   {mendableStatus{503, false}, retry.Permanent},
		"429 that says no":   {mendableStatus{429, false}, retry.Permanent},
		"401 that says no":   {mendableStatus{401, false}, retry.Auth},
		"200 that says no":   {mendableStatus{200, false}, retry.Protocol},
		"400 that says yes":  {mendableStatus{400, true}, retry.Server},
		"429 that says yes":  {mendableStatus{429, true}, retry.RateLimited},
		"wrapper says no":    {mendable{false, status(503)}, retry.Permanent},
		"wrapper says yes":   {mendable{true, status(404)}, retry.Network},
		"yes keeps the rate": {mendable{true, status(429)}, retry.RateLimited},
		"yes over no":        {mendable{true, mendable{false, nil}}, retry.Network},
		"no over yes":        {mendable{false, mendable{true, nil}}, retry.Permanent},

		"joined":             {errors.Join(io.EOF, status(429)), retry.RateLimited},
		"first of joined":    {errors.Join(status(503), status(404)), retry.Server},
		"deep in a join":     {errors.Join(io.EOF, fmt.Errorf("a: %w", errors.Join(errors.New("b"), garbage{}))), retry.Protocol},
		"yes before the no":  {errors.Join(mendable{true, nil}, status(404)), retry.Network},
		"several with verbs": {fmt.Errorf("%w and %w", io.EOF, gone{410}), retry.TokenRejected},

		"unknown authority": {x509.UnknownAuthorityError{}, retry.Permanent},
		"other host":        {x509.HostnameError{Certificate: &x509.Certificate{}}, retry.Permanent},
		"no system roots":   {x509.SystemRootsError{}, retry.Permanent},
		"bad usage":         {x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}, retry.Permanent},
		"expired":           {x509.CertificateInvalidError{Reason: x509.Expired}, retry.Network},
		"verification": {&tls.CertificateVerificationError{
			Err: x509.InsecureAlgorithmError(x509.MD5WithRSA)}, retry.Permanent},
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
		"unknown authority": {&tls.Config{RootCAs: x509.NewCertPool()}, retry.Permanent},
		"other host":        {&tls.Config{RootCAs: roots, ServerName: "elsewhere.test"}, retry.Permanent},
		"expired":           {&tls.Config{RootCAs: roots, Time: at(notAfter.Add(time.Hour))}, retry.Network},
		"not yet valid":     {&tls.Config{RootCAs: roots, Time: at(notBefore.Add(-time.Hour))}, retry.Network},
		"no common version": {&tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS10, MinVersion: tls.VersionTLS10}, retry.Protocol},
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
	for c := retry.Network; c <= retry.Permanent; c++ {
		if s := c.String(); s == "" || seen[s] {
			t.Errorf("class %d is called %q", uint8(c), s)
		} else {
			seen[s] = true
		}
	}
	if got := retry.RateLimited.String(); got != "rate limited" {
		t.Errorf("RateLimited is called %q", got)
	}
	if got := retry.Class(200).String(); got != "Class(200)" {
		t.Errorf("Class(200) is called %q", got)
	}
}

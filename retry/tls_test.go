package retry_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// alert returns the error of crypto/tls for an alert of the peer.
func alert(code tls.AlertError) error { return &net.OpError{Op: "remote error", Err: code} }

func TestClassifyTLS(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want retry.Class
	}{
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

// TestClassifyCertificate classifies errors of real handshakes.
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
				t.Fatal("the handshake succeeded, want an error")
			}
			if got := retry.Classify(err); got != tt.want {
				t.Errorf("Classify(%v) = %v, want %v", err, got, tt.want)
			}
		})
	}
}

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

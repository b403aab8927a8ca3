package webhook_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// TestMain makes the system trust the certificate of httptest's servers.
func TestMain(m *testing.M) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	srv.Close()
	dir, err := os.MkdirTemp("", "webhook")
	if err != nil {
		panic(err)
	}
	file := filepath.Join(dir, "cert.pem")
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		panic(err)
	}
	os.Setenv("SSL_CERT_FILE", file)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// protocols are the ways in which a handler is served.
var protocols = map[string]func(testing.TB, http.Handler) *httptest.Server{
	"HTTP/1.1": func(t testing.TB, h http.Handler) *httptest.Server {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		return srv
	},
	"HTTP/2": func(t testing.TB, h http.Handler) *httptest.Server {
		srv := httptest.NewUnstartedServer(h)
		srv.EnableHTTP2 = true
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv
	},
}

func readFrom(c transport.Conn) (m transport.Message, err error) {
	err = c.Read(&m)
	return m, err
}

func read(t testing.TB, conn transport.Conn) transport.Message {
	t.Helper()
	m, err := readFrom(conn)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return m
}

func readError(t testing.TB, conn transport.Conn) error {
	t.Helper()
	m, err := readFrom(conn)
	if err == nil {
		t.Fatalf("Read returned %.60q, want an error", m.Data)
	}
	if _, again := readFrom(conn); again == nil {
		t.Fatal("Read succeeded after an error")
	}
	return err
}

// class sorts an error as package retry does.
func class(err error) string { return retry.Classify(err).String() }

// errStop ends a context in a test.
var errStop = errors.New("the test has had enough")

// retryable asks an error as package retry does. It returns "unset" if err has no method for it.
func retryable(err error) string {
	var r interface{ Retryable() bool }
	if !errors.As(err, &r) {
		return "unset"
	}
	return fmt.Sprint(r.Retryable())
}

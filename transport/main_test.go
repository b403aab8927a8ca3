package transport_test

import (
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// TestMain makes the system trust the certificate of httptest's servers, so that the default
// client can be tested over TLS.
func TestMain(m *testing.M) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	srv.Close()
	dir, err := os.MkdirTemp("", "transport")
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

// long repeats tests of races more often: go test ./transport -run Cancel -long takes ten seconds
// of CPU instead of half a second.
var long = flag.Bool("long", false, "run tests exhaustively")

// exhaustive returns how many times to repeat a test that depends on the order of goroutines.
func exhaustive(usual, often int) int {
	if *long {
		return often
	}
	return usual
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

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	return protocols["HTTP/1.1"](t, h)
}

// feed writes lines as a feed and flushes each.
func feed(w http.ResponseWriter, lines ...string) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for _, l := range lines {
		io.WriteString(w, l)
		w.(http.Flusher).Flush()
	}
}

func open(t testing.TB, h *transport.HTTP, token string) *transport.Session {
	t.Helper()
	conn, err := h.Open(t.Context(), token)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func openError(t testing.TB, h *transport.HTTP, token string) error {
	t.Helper()
	conn, err := h.Open(t.Context(), token)
	if err == nil {
		conn.Close()
		t.Fatal("Open: got no error, want one")
	}
	return err
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
		t.Fatal("Read after an error: got nil, want an error")
	}
	return err
}

// want checks that err is of type E and returns it.
func want[E error](t testing.TB, err error) E {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Fatalf("error: got %T (%v), want %T", err, err, e)
	}
	return e
}

// retryable returns the result of the method Retryable of an error, or "unset".
func retryable(err error) string {
	var r interface{ Retryable() bool }
	if !errors.As(err, &r) {
		return "unset"
	}
	return fmt.Sprint(r.Retryable())
}

// class returns the class of an error in package retry.
func class(err error) string { return retry.Classify(err).String() }

// inMemory serves h on a network in memory until the test ends, for synctest bubbles,
// and returns a client for it. A connection that is left open fails the test.
func inMemory(t testing.TB, h http.HandlerFunc) *http.Client {
	srv := mock.NewServer(h)
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv.Client()
}

func readFrom(c transport.Conn) (m transport.Message, err error) {
	err = c.Read(&m)
	return m, err
}

package webhook_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
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

// An inbox is a subscription in memory.
type inbox struct {
	transport.Listener
	queue chan transport.Message
	busy  atomic.Bool   // deliver accepts nothing, although it reports space
	ended chan struct{} // closed when Wait has returned err
	err   error
}

// openHook opens w, with a buffer of 256 events, until the end of the test.
func openHook(t testing.TB, w *webhook.Receiver) *inbox {
	t.Helper()
	return openBuffer(t, w, 256)
}

// openBuffer opens w, with a buffer of size events, until the end of the test.
func openBuffer(t testing.TB, w *webhook.Receiver, size int) *inbox {
	t.Helper()
	in, err := listen(t.Context(), w, size)
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	t.Cleanup(func() { in.Close() })
	return in
}

// listen opens w. The inbox ends with Close.
func listen(ctx context.Context, w *webhook.Receiver, size int) (*inbox, error) {
	in := &inbox{queue: make(chan transport.Message, size), ended: make(chan struct{})}
	l, err := w.Listen(ctx, in.deliver)
	if err != nil {
		return nil, err
	}
	in.Listener = l
	go func() {
		defer close(in.ended)
		in.err = l.Wait()
	}()
	return in, nil
}

// deliver is the transport.Deliver of the inbox.
func (in *inbox) deliver(ms []transport.Message) (int, error) {
	if len(ms) == 0 && len(in.queue) == cap(in.queue) {
		return 0, transport.ErrFull
	}
	for i := range ms {
		if in.busy.Load() {
			return i, transport.ErrFull
		}
		select {
		case in.queue <- ms[i]:
		default:
			return i, transport.ErrFull
		}
	}
	return len(ms), nil
}

// closedDeliver is the transport.Deliver of a subscription that has ended.
func closedDeliver([]transport.Message) (int, error) { return 0, transport.ErrClosed }

// next returns the next message, or the result of Wait.
func (in *inbox) next() (transport.Message, error) {
	select {
	case m := <-in.queue:
		return m, nil
	default:
	}
	select {
	case m := <-in.queue:
		return m, nil
	case <-in.ended:
		return transport.Message{}, in.err
	}
}

// Close closes the Listener and waits for the end of Wait.
func (in *inbox) Close() error {
	err := in.Listener.Close()
	<-in.ended
	return err
}

func read(t testing.TB, in *inbox) transport.Message {
	t.Helper()
	m, err := in.next()
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	return m
}

// end returns the result of Wait.
func end(in *inbox) error {
	<-in.ended
	return in.err
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

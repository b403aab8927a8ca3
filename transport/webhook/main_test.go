package webhook_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
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

var secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

// newHook returns a Receiver for Standard Webhooks with a deadline of 10 s.
func newHook() *webhook.Receiver {
	p := provider.StandardWebhooks(secret)
	p.Deadline = 10 * time.Second
	return &webhook.Receiver{Provider: p}
}

// sign returns a delivery of p as a server receives it.
func sign(t testing.TB, p *provider.Provider, id, body string) *http.Request {
	t.Helper()
	d := provider.Request{Method: http.MethodPost, URL: "/", Header: http.Header{}, Body: []byte(body), Time: time.Now()}
	if err := p.Sign(&d, id); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(d.Body))
	maps.Copy(r.Header, d.Header)
	return r
}

// post has w answer r on a new goroutine.
func post(w *webhook.Receiver, r *http.Request) <-chan *http.Response {
	answers := make(chan *http.Response, 1)
	go func() {
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		answers <- rec.Result()
	}()
	return answers
}

// take reads the next event.
func take(t testing.TB, conn *inbox, data string) transport.Message {
	t.Helper()
	m := read(t, conn)
	if string(m.Data) != data {
		t.Fatalf("Data: got %q, want %q", m.Data, data)
	}
	return m
}

func wantStatus(t testing.TB, answers <-chan *http.Response, status int) *http.Response {
	t.Helper()
	a := <-answers
	if a.StatusCode != status {
		t.Fatalf("got %s, want %d", a.Status, status)
	}
	if s, err := strconv.Atoi(a.Header.Get("Retry-After")); status == 503 && (err != nil || s < 1 || s > 60) {
		t.Errorf("503: got Retry-After %q, want 1 to 60", a.Header.Get("Retry-After"))
	}
	return a
}

// unanswered checks that there is no answer yet.
func unanswered(t testing.TB, answers <-chan *http.Response) {
	t.Helper()
	synctest.Wait()
	select {
	case a := <-answers:
		t.Fatalf("got %s, want no answer yet", a.Status)
	default:
	}
}

func subscribe(t *testing.T, w *webhook.Receiver, opts *client.Options) *client.Subscription {
	t.Helper()
	sub, err := client.Subscribe(t.Context(), w, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Close() })
	synctest.Wait()
	return sub
}

// noID is a sender whose deliveries have no id.
func noID() *provider.Provider {
	p := provider.GitHub("a secret")
	p.ID = provider.Source{}
	return p
}

// deliver posts a delivery that must reach the consumer, which acknowledges it.
func deliver(t testing.TB, w *webhook.Receiver, conn *inbox, id, body string) {
	t.Helper()
	a := post(w, sign(t, w.Provider, id, body))
	take(t, conn, body).Settle(nil)
	wantStatus(t, a, 204)
}

// repeat posts a delivery that must not reach the consumer.
func repeat(t testing.TB, w *webhook.Receiver, id, body string) {
	t.Helper()
	wantStatus(t, post(w, sign(t, w.Provider, id, body)), 204)
}

// batches is a sender of several events at a time.
func batches() *provider.Provider {
	p := provider.StandardWebhooks(secret)
	p.Payload = provider.Payload{Items: "@this", ID: provider.Source{Path: []string{"id"}}}
	return p
}

const (
	batch = `[{"id":"a"}, {"n":2}, {"id":"c"}]`
	itemA = `{"id":"a"}`
	item2 = `{"n":2}`
	itemC = `{"id":"c"}`
)

// rawConn returns a connection to a server in memory whose requests are written byte by byte.
func rawConn(t *testing.T, srv *mock.Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := srv.Dial(context.Background(), "tcp", "feed.test:80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, bufio.NewReader(conn)
}

// rawRequest returns a signed request as it is sent, with the body cut off after n bytes.
func rawRequest(t *testing.T, p *provider.Provider, id, body string, n int) string {
	r := sign(t, p, id, body)
	var b strings.Builder
	fmt.Fprintf(&b, "POST / HTTP/1.1\r\nHost: feed.test\r\nContent-Length: %d\r\n", len(body))
	r.Header.Write(&b)
	return b.String() + "\r\n" + body[:n]
}

// signAt is like sign for a Receiver with a URL.
func signAt(t *testing.T, w *webhook.Receiver, body string) *http.Request {
	t.Helper()
	d := provider.Request{Method: http.MethodPost, URL: cmp.Or(w.URL, "/"), Body: []byte(body), Time: time.Now()}
	if err := w.Provider.Sign(&d, ""); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(d.Body))
	maps.Copy(r.Header, d.Header)
	return r
}

func want2xx(t *testing.T, answers <-chan *http.Response) {
	t.Helper()
	if a := <-answers; a.StatusCode/100 != 2 {
		t.Fatalf("got %s, want a 2xx", a.Status)
	}
}

// edPEM returns an Ed25519 private key.
func edPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// send sends a signed delivery over the network.
func send(t *testing.T, w *webhook.Receiver, client *http.Client, url, id, body string) <-chan *http.Response {
	t.Helper()
	signed := sign(t, w.Provider, id, body)
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = signed.Header
	answers := make(chan *http.Response, 1)
	go func() {
		a, err := client.Do(req)
		if err != nil {
			a = &http.Response{Status: err.Error()}
		} else {
			a.Body.Close()
		}
		answers <- a
	}()
	return answers
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

// interrupted calls a function between header and body.
type interrupted struct {
	*httptest.ResponseRecorder
	interrupt func()
}

func (i *interrupted) WriteHeader(status int) {
	i.ResponseRecorder.WriteHeader(status)
	i.interrupt()
}

package webhook_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport/webhook"
)

// After Drain, the built-in listener refuses requests until the consumer has handled every answered
// event, and is then closed.
func TestDrainKeepsListening(t *testing.T) {
	for _, ack := range []webhook.AckMode{webhook.AckAfterHandling, webhook.AckOnEnqueue} {
		synctest.Test(t, func(t *testing.T) {
			network := new(mock.Network)
			defer network.Close()
			l, err := network.Listen("hooks.test:80")
			if err != nil {
				t.Fatal(err)
			}
			w := newHook()
			w.Ack, w.Listener = ack, l
			client := &http.Client{Transport: &http.Transport{DialContext: network.Dial, DisableKeepAlives: true}}
			sub := subscribe(t, w, nil)
			first := send(t, w, client, hooksURL, "a", `{}`)
			synctest.Wait()
			second := send(t, w, client, hooksURL, "b", `{}`)
			synctest.Wait()
			w.Drain()
			for ev, err := range sub.Events() {
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				wantStatus(t, send(t, w, client, hooksURL, "c", `{}`), 503)
				ev.Ack()
			}
			wantStatus(t, first, 204)
			wantStatus(t, second, 204)
			time.Sleep(time.Second)
			if a := <-send(t, w, client, hooksURL, "d", `{}`); !strings.Contains(a.Status, "refused") {
				t.Errorf("after everything is handled: got %s, want a refused connection", a.Status)
			}
		})
	}
}

// ownListener opens w on a listener in memory, and returns a client for it.
func ownListener(t *testing.T, w *webhook.Receiver) (*inbox, *mock.Network, *http.Client) {
	t.Helper()
	network := new(mock.Network)
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := network.Listen("hooks.test:80")
	if err != nil {
		t.Fatal(err)
	}
	w.Listener = l
	client := &http.Client{Transport: &http.Transport{DialContext: network.Dial}}
	t.Cleanup(client.CloseIdleConnections)
	return openHook(t, w), network, client
}

const hooksURL = "http://hooks.test/in"

func TestListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn, _, client := ownListener(t, w)
		for i := range 3 {
			a := send(t, w, client, hooksURL, fmt.Sprint("msg_", i), `{}`)
			take(t, conn, `{}`).Settle(nil)
			wantStatus(t, a, 204)
		}
		synctest.Wait() // until the last connection is idle
		start := time.Now()
		conn.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v with nothing to wait for, want none", d)
		}
	})
}

// Receiver.Listener is closed with the first Listener. A second Listen fails permanently.
func TestListenerIsUsedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn, _, _ := ownListener(t, w)
		conn.Close()
		_, err := w.Listen(t.Context(), closedDeliver)
		var final interface{ Retryable() bool }
		if !errors.As(err, &final) || final.Retryable() || !strings.Contains(err.Error(), "Receiver.Listener") {
			t.Errorf("second Listen: got %v, want an error about Receiver.Listener that is not retryable", err)
		}
	})
}

func TestServerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn, network, client := ownListener(t, w)
		inTime := send(t, w, client, hooksURL, "msg_1", `{}`)
		m1 := take(t, conn, `{}`)
		never := send(t, w, client, hooksURL, "msg_2", `{}`)
		take(t, conn, `{}`)
		queued := send(t, w, client, hooksURL, "msg_3", `{}`)
		slow, err := network.Dial(context.Background(), "tcp", "hooks.test:80")
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		io.WriteString(slow, rawRequest(t, w.Provider, "msg_4", `{}`, 1))
		silent, err := network.Dial(context.Background(), "tcp", "hooks.test:80")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		synctest.Wait()

		start := time.Now()
		closed := make(chan time.Duration, 1)
		go func() {
			conn.Close()
			closed <- time.Since(start)
		}()
		time.Sleep(100 * time.Millisecond)
		wantStatus(t, send(t, w, client, hooksURL, "msg_5", `{}`), 503)
		m1.Settle(nil)
		wantStatus(t, inTime, 204)
		wantStatus(t, never, 503)
		wantStatus(t, queued, 503)
		if d := <-closed; d >= time.Second {
			t.Errorf("Close took %v, want less than 1s", d)
		}
		if a := <-send(t, w, client, hooksURL, "msg_6", `{}`); !strings.Contains(a.Status, "refused") {
			t.Errorf("after Close: got %s, want a refused connection", a.Status)
		}
	})
}

func TestListenerOutlastsSlowHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn, network, client := ownListener(t, w)
		slow, err := network.Dial(context.Background(), "tcp", "hooks.test:80")
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		start := time.Now()
		var dripping sync.WaitGroup
		dripping.Go(func() {
			for _, err := io.WriteString(slow, "POST / HTTP/1.1\r\nX: "); err == nil; _, err = io.WriteString(slow, "x") {
				time.Sleep(time.Second)
			}
		})
		a := send(t, w, client, hooksURL, "msg_1", `{}`)
		take(t, conn, `{}`).Settle(nil)
		wantStatus(t, a, 204)
		io.ReadAll(slow)
		if d := time.Since(start); d > 11*time.Second {
			t.Errorf("a header that never ends took %v, want at most 11s", d)
		}
		slow.Close()
		dripping.Wait()
	})
}

func TestListenerClosesIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		_, network, _ := ownListener(t, w)
		conn, err := network.Dial(context.Background(), "tcp", "hooks.test:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: hooks.test\r\n\r\n")
		r := bufio.NewReader(conn)
		if _, err := http.ReadResponse(r, nil); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("idle connection: got %v, want io.EOF", err)
		}
		if d := time.Since(start); d < time.Minute || d > 3*time.Minute {
			t.Errorf("an idle connection was closed after %v, want 1m to 3m", d)
		}
	})
}

func TestLargeHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		_, _, client := ownListener(t, w)
		req, _ := http.NewRequest(http.MethodPost, hooksURL, nil)
		req.Header.Set("X-Large", strings.Repeat("x", 100<<10))
		a, err := client.Do(req)
		if err == nil {
			a.Body.Close()
			if a.StatusCode != 431 {
				t.Errorf("got %s, want 431", a.Status)
			}
		}
	})
}

// broken is a listener that fails.
type broken struct{ net.Listener }

func (broken) Accept() (net.Conn, error) { return nil, errors.New("no more connections") }

func (broken) Close() error { return nil }

func (broken) Addr() net.Addr { return &net.TCPAddr{} }

func TestListenerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.Listener = broken{}
		conn := openHook(t, w)
		if err := end(conn); !strings.Contains(err.Error(), "no more connections") {
			t.Errorf("Wait: got %v, want the error of the listener", err)
		}
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `{}`)), 503)
		conn.Close()
	})
}

func TestAddrInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newHook()
	w.Addr = l.Addr().String()
	if _, err := w.Listen(t.Context(), closedDeliver); retryable(err) != "false" || !strings.Contains(err.Error(), "Receiver.Addr: listen tcp "+w.Addr) {
		t.Errorf("Listen: got %v, want an error about Receiver.Addr that is not retryable", err)
	}
	l.Close()
	conn := openHook(t, w) // the address is free now
	a := send(t, w, http.DefaultClient, "http://"+w.Addr, "msg_1", `{}`)
	take(t, conn, `{}`).Settle(nil)
	wantStatus(t, a, 204)
	http.DefaultClient.CloseIdleConnections()
	conn.Close()

	if l, err = net.Listen("tcp", w.Addr); err != nil { // between two Listeners
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := w.Listen(t.Context(), closedDeliver); retryable(err) != "unset" || err == nil {
		t.Errorf("Listen on an address that was used before: got %v, want a retryable error", err)
	}
}

// An address that is not one of this machine is a permanent error.
func TestAddrUnknown(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:99999", "127.0.0.1:no-such-port", "no-such-host.invalid:0", "192.0.2.1:0"} {
		w := newHook()
		w.Addr = addr
		_, err := w.Listen(t.Context(), closedDeliver)
		if dns := new(net.DNSError); errors.As(err, &dns) && dns.Temporary() {
			continue // no name server
		}
		if retryable(err) != "false" || !strings.Contains(err.Error(), "Receiver.Addr: listen tcp") {
			t.Errorf("%s: Listen: got %v, want an error about Receiver.Addr that is not retryable", addr, err)
		}
	}
	w := newHook()
	w.Addr = "127.0.0.1:0"
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Listen(ctx, closedDeliver); !errors.Is(err, context.Canceled) {
		t.Errorf("Listen with a context that has ended: got %v, want %v", err, context.Canceled)
	}
}

// issue returns a self-signed certificate.
func issue(t *testing.T, name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func pool(c tls.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.Leaf)
	return p
}

func TestMutualTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, sender := issue(t, "hooks.test"), issue(t, "sender")
		w := newHook()
		w.TLS = &tls.Config{
			Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(sender),
		}
		conn, network, _ := ownListener(t, w)
		for _, http2 := range []bool{false, true} {
			tr := &http.Transport{
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return network.Dial(ctx, "tcp", "hooks.test:80")
				},
				TLSClientConfig:   &tls.Config{RootCAs: pool(server), Certificates: []tls.Certificate{sender}},
				ForceAttemptHTTP2: http2,
			}
			a := send(t, w, &http.Client{Transport: tr}, "https://hooks.test/", fmt.Sprint("msg_", http2), `{}`)
			take(t, conn, `{}`).Settle(nil)
			if got := wantStatus(t, a, 204); (got.ProtoMajor == 2) != http2 {
				t.Errorf("got %s, want HTTP/2: %t", got.Proto, http2)
			}
			tr.CloseIdleConnections()

			tr = tr.Clone()
			tr.TLSClientConfig.Certificates = nil
			if a := <-send(t, w, &http.Client{Transport: tr}, "https://hooks.test/", "msg_x", `{}`); a.StatusCode != 0 {
				t.Errorf("without a certificate: got %s, want no answer", a.Status)
			}
			tr.CloseIdleConnections()
		}
	})
}

// A request that comes through a mux while Listen fails is refused, and delivered when repeated.
func TestListenFailsDuringARequest(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	w := newHook()
	w.Addr = "localhost:" + port
	over := make(chan struct{})
	go func() {
		defer close(over)
		for range 300 {
			w.Listen(t.Context(), closedDeliver)
		}
	}()
	var ids []string
	for i := 0; ; i++ {
		select {
		case <-over:
		default:
			id := fmt.Sprint("msg_", i)
			ids = append(ids, id)
			wantStatus(t, post(w, sign(t, w.Provider, id, `{}`)), 503)
			continue
		}
		break
	}
	l.Close()
	conn := openHook(t, w)
	go func() {
		for {
			m, err := conn.next()
			if err != nil {
				return
			}
			m.Settle(nil)
		}
	}()
	for _, id := range ids {
		wantStatus(t, post(w, sign(t, w.Provider, id, `{}`)), 204)
	}
}

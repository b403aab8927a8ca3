package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// OnConnect may send credentials, which an untrusted origin must not receive.
func TestWebSocketOnConnectNotCalledForUntrustedOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard atomic.Value
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "evil.test" {
				http.Redirect(w, r, "ws://evil.test/", http.StatusFound)
				return
			}
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer c.CloseNow()
			_, b, _ := c.Read(r.Context())
			heard.Store(string(b))
			c.Read(r.Context())
		})
		w := &transport.WebSocket{URL: "ws://feed.test/", Client: client}
		w.OnConnect = func(ctx context.Context, s *transport.Socket, token string) error {
			return s.Send(ctx, []byte("auth=API-SECRET since="+token))
		}
		if conn, err := w.Open(t.Context(), "position"); err == nil {
			synctest.Wait()
			conn.Close()
		}
		synctest.Wait()
		if got, _ := heard.Load().(string); got != "" {
			t.Errorf("an untrusted origin received %q, want nothing", got)
		}
	})
}

func TestWebSocketContextEndsWithTheHandshake(t *testing.T) {
	for range exhaustive(20, 1000) {
		synctest.Test(t, func(t *testing.T) {
			w := sockets(t, func(p *peer) { p.wait() })
			ctx, cancel := context.WithCancel(t.Context())
			w.NewDecompressor = func() func([]byte) ([]byte, error) {
				cancel()
				return func(b []byte) ([]byte, error) { return b, nil }
			}
			if conn, err := w.Open(ctx, ""); err == nil {
				conn.Close()
			}
		})
	}
}

func TestClassifyAsksForFreshCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refreshed := 0
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "expired", 400) })
		w := &transport.WebSocket{URL: "ws://feed.test/", Client: client}
		w.Prepare = func(r *http.Request) error {
			if transport.CredentialsRejected(r.Context()) {
				refreshed++
			}
			return nil
		}
		w.Classify = func(error) transport.Action { return transport.ActionRefresh }
		for range 3 {
			_, err := w.Open(t.Context(), "")
			t.Logf("%v retryable %v", err, retryable(err))
		}
		if refreshed != 1 {
			t.Errorf("Prepare had to provide fresh credentials %d times in three attempts, want 1", refreshed)
		}
	})
}

// Redirects do not make Prepare provide fresh credentials again.
func TestFreshCredentialsOncePerAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/c" {
				http.Redirect(w, r, map[string]string{"/": "/b", "/b": "/c"}[r.URL.Path], http.StatusTemporaryRedirect)
				return
			}
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			c.Close(4401, "")
		})
		w := &transport.WebSocket{URL: "ws://feed.test/", Client: client}
		refreshed := 0
		w.Prepare = func(r *http.Request) error {
			if transport.CredentialsRejected(r.Context()) {
				refreshed++
			}
			return nil
		}
		for range 2 {
			conn := openSocket(t, w, "")
			readFrom(conn)
			conn.Close()
		}
		if refreshed != 1 {
			t.Errorf("Prepare had to provide fresh credentials %d times, want 1", refreshed)
		}
	})
}

// An attempt that does not reach the login leaves the need for fresh credentials.
func TestFreshCredentialsAfterFailedAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if n++; n == 2 {
				http.Error(w, "busy", http.StatusServiceUnavailable)
				return
			}
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			c.Close(4401, "")
		})
		w := &transport.WebSocket{URL: "ws://feed.test/", Client: client}
		var fresh []bool
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			fresh = append(fresh, transport.CredentialsRejected(ctx))
			_, err := s.Receive()
			return err
		}
		for range 3 {
			w.Open(t.Context(), "")
		}
		if len(fresh) != 2 || !fresh[1] {
			t.Errorf("CredentialsRejected in OnConnect: got %v, want [false true]", fresh)
		}
	})
}

// The context ends at each step on the network, from the dial to the last message.
func TestWebSocketContextEndsAtEachStep(t *testing.T) {
	for round := range exhaustive(4, 200) {
		step := int64(1)
		for cancelAt(t, step, round%2 == 0) {
			step++
		}
		if step < 10 {
			t.Fatalf("got a connection in %d steps, want at least 10", step)
		}
	}
}

// cancelAt ends the context at a step, within it or concurrently, and reports whether the
// connection got that far.
func cancelAt(t *testing.T, number int64, within bool) (reached bool) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 10
		w := sockets(t, func(p *peer) {
			p.say("hello")
			p.hear()
			p.say(slices.Repeat([]string{"x"}, messages)...) // ends with the connection
			p.wait()
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var steps atomic.Int64
		w.Client = stepping(w.Client, func() {
			switch {
			case steps.Add(1) != number:
			case within:
				cancel()
			default:
				go cancel()
			}
		})
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			if _, err := s.Receive(); err != nil {
				return err
			}
			return s.Send(ctx, []byte("hi"))
		}
		conn, err := w.Open(ctx, "")
		if err == nil {
			defer conn.Close()
		}
		for n := 0; err == nil && n < messages; n++ {
			_, err = readFrom(conn)
		}
		synctest.Wait()
		if reached = ctx.Err() != nil; err != nil && !reached {
			t.Fatal(err)
		}
	})
	return reached
}

// stepping calls step before and after each operation on the network.
func stepping(client *http.Client, step func()) *http.Client {
	network := client.Transport.(*http.Transport).Clone()
	dial := network.DialContext
	network.DialContext = func(ctx context.Context, name, addr string) (net.Conn, error) {
		step()
		conn, err := dial(ctx, name, addr)
		step()
		return stepConn{conn, step}, err
	}
	return &http.Client{Transport: network}
}

type stepConn struct {
	net.Conn
	step func()
}

func (c stepConn) Read(p []byte) (int, error) {
	c.step()
	defer c.step()
	return c.Conn.Read(p)
}

func (c stepConn) Write(p []byte) (int, error) {
	c.step()
	defer c.step()
	return c.Conn.Write(p)
}

func TestWebSocketHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got *http.Request
		w := socketsWith(t, &websocket.AcceptOptions{Subprotocols: []string{"two"}}, func(p *peer) {
			got = p.req
			p.wait()
		})
		w.Header = http.Header{"X-Key": {"k"}}
		w.Subprotocols = []string{"one", "two"}
		w.Resume = transport.ResumeQuery("since")
		w.Prepare = func(r *http.Request) error {
			r.Header.Set("Authorization", "Bearer t")
			return nil
		}
		var chosen string
		w.OnConnect = func(_ context.Context, s *transport.Socket, token string) error {
			chosen = s.Subprotocol + " " + token
			return nil
		}
		openSocket(t, w, "42").Close()
		synctest.Wait()
		if got.URL.RawQuery != "key=secret&since=42" || got.Header.Get("X-Key") != "k" || got.Header.Get("Authorization") != "Bearer t" {
			t.Errorf("got the handshake %v %v, want the query, the header and the credentials", got.URL, got.Header)
		}
		if got.Header.Get("Accept") != "" || got.Header.Get("Cache-Control") != "" {
			t.Errorf("got %v, want no headers of an HTTP feed", got.Header)
		}
		if chosen != "two 42" {
			t.Errorf("OnConnect: got %q, want two 42", chosen)
		}
	})
}

func TestWebSocketRefused(t *testing.T) {
	answer := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			io.WriteString(w, "<html>secret")
		}
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		check func(t *testing.T, err error)
		class string
	}{
		"401":       {answer(401), isStatus(401), "auth"},
		"403":       {answer(403), isStatus(403), "permanent"},
		"404":       {answer(404), isStatus(404), "permanent"},
		"410":       {answer(410), isStatus(410), "token rejected"},
		"429":       {answer(429, "Retry-After", "7"), isStatus(429), "rate limited"},
		"503":       {answer(503), isStatus(503), "server"},
		"HTML":      {answer(200, "Content-Type", "text/html"), isProtocol, "protocol"},
		"loop":      {answer(302, "Location", "ws://feed.test/"), isProtocol, "protocol"},
		"nowhere":   {answer(302, "Location", "ftp://feed.test/"), isProtocol, "protocol"},
		"accept":    {hijacked("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"), isProtocol, "protocol"},
		"upgrade":   {hijacked("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), isProtocol, "protocol"},
		"cut":       {hijacked(""), func(*testing.T, error) {}, "network"},
		"endless":   {endless, isStatus(502), "server"},
		"forbidden": {func(w http.ResponseWriter, r *http.Request) { websocket.Accept(w, r, nil) }, nil, ""},
	} {
		if c.check == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &transport.WebSocket{URL: "ws://feed.test/live?key=secret", Client: inMemory(t, c.serve)}
				err := openSocketError(t, w, "secret-token")
				c.check(t, err)
				if got := class(err); got != c.class {
					t.Errorf("got %v of class %s, want %s", err, got, c.class)
				}
			})
		})
	}
}

func isStatus(code int) func(t *testing.T, err error) {
	return func(t *testing.T, err error) {
		e := want[*transport.StatusError](t, err)
		if e.Code != code || code == 429 && e.RetryAfter() != 7*time.Second || code == 410 && !e.RejectsToken() {
			t.Errorf("got %+v, want status %d", e, code)
		}
	}
}

func isProtocol(t *testing.T, err error) { want[*transport.ProtocolError](t, err) }

// hijacked answers with bytes, and closes.
func hijacked(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(conn, answer)
		conn.Close()
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(502)
	for r.Context().Err() == nil {
		io.WriteString(w, strings.Repeat("secret", 1000))
		w.(http.Flusher).Flush()
	}
}

func TestWebSocketSubprotocolMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.Subprotocols = []string{"graphql-transport-ws"}
		isProtocol(t, openSocketError(t, w, ""))
	})
}

// A page at an address that was a WebSocket before comes from a proxy.
func TestWebSocketPageAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		w := &transport.WebSocket{URL: "ws://feed.test", Client: inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if !first {
				return
			}
			first = false
			if c, err := websocket.Accept(w, r, nil); err == nil {
				c.CloseNow()
			}
		})}
		conn := openSocket(t, w, "")
		readError(t, conn)
		conn.Close()
		if err := openSocketError(t, w, ""); class(err) != "protocol" {
			t.Errorf("got %v of class %s, want protocol", err, class(err))
		}
	})
}

func TestWebSocketCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		accept := false
		w := &transport.WebSocket{URL: "ws://feed.test", Client: inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "fresh" || !accept {
				w.WriteHeader(403)
				return
			}
			c, _ := websocket.Accept(w, r, nil)
			c.Close(4401, "")
		})}
		w.Prepare = func(r *http.Request) error {
			asked = append(asked, fmt.Sprint(transport.CredentialsRejected(r.Context())))
			if transport.CredentialsRejected(r.Context()) {
				r.Header.Set("Authorization", "fresh")
			}
			return nil
		}
		openSocketError(t, w, "")
		if fmt.Sprint(asked) != "[false true]" {
			t.Errorf("CredentialsRejected in Prepare: got %v, want [false true]", asked)
		}
		accept, asked = true, nil
		first := readError(t, openSocket(t, w, ""))
		if fmt.Sprint(asked) != "[false true]" || statusOf(first) != 401 {
			// The handshake already had fresh credentials.
			t.Errorf("CredentialsRejected: got %v, then %v (status %d), want [false true], then 401", asked, first, statusOf(first))
		}
	})
}

// A close code that asks for credentials leads to one attempt with fresh ones.
func TestWebSocketRefreshByCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.Close(4401, "") })
		var fresh []bool
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			fresh = append(fresh, transport.CredentialsRejected(ctx))
			return nil
		}
		first := readError(t, openSocket(t, w, ""))
		second := readError(t, openSocket(t, w, ""))
		third := readError(t, openSocket(t, w, ""))
		if fmt.Sprint(fresh) != "[false true false]" {
			t.Errorf("CredentialsRejected in OnConnect: got %v, want [false true false]", fresh)
		}
		if statusOf(first) != 0 || statusOf(second) != 401 || statusOf(third) != 0 {
			t.Errorf("got statuses %d, %d, %d, want 0, 401, 0", statusOf(first), statusOf(second), statusOf(third))
		}
	})
}

func statusOf(err error) int {
	var s interface{ StatusCode() int }
	if errors.As(err, &s) {
		return s.StatusCode()
	}
	return -1
}

func TestWebSocketRedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []*http.Request
		srv := mock.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r)
			if r.Host == "feed.test" {
				w.Header().Set("Location", "ws://other.test/x")
				w.WriteHeader(307)
				return
			}
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				t.Errorf("Accept: %v", err)
				return
			}
			defer c.CloseNow()
			c.Read(r.Context())
		}))
		defer srv.Close()
		w := &transport.WebSocket{URL: "ws://feed.test", Client: srv.Client(), Header: http.Header{"X-Key": {"k"}}}
		w.OnConnect = func(ctx context.Context, s *transport.Socket, token string) error {
			return s.Send(ctx, []byte("secret "+token))
		}
		isProtocol(t, openSocketError(t, w, "token"))
		if len(got) != 2 || got[1].Header.Get("X-Key") != "" {
			t.Errorf("got %d requests, the last with %v, want 2, the last without a key", len(got), got[len(got)-1].Header)
		}
		w.TrustedOrigins = []string{"ws://other.test"}
		openSocket(t, w, "").Close()
		if got[3].Header.Get("X-Key") != "k" {
			t.Errorf("trusted origin: got X-Key %q, want k", got[3].Header.Get("X-Key"))
		}
	})
}

func TestWebSocketTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say("secure")
			p.wait()
		})
		w.URL = "wss://feed.test"
		conn := openSocket(t, w, "")
		if m := read(t, conn); string(m.Data) != "secure" {
			t.Errorf("got %q, want secure", m.Data)
		}
	})
}

// The handshake of a server that chooses no subprotocol is valid (RFC 6455, section 4.1), but
// browsers fail it (WHATWG WebSockets, "establish a WebSocket connection"): it needs consent.
func TestWebSocketSubprotocolNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offered string
		w := sockets(t, func(p *peer) {
			offered = strings.Join(p.req.Header.Values("Sec-WebSocket-Protocol"), ";")
			p.wait()
		})
		w.Subprotocols = []string{"binary", "", "base64"}
		if err := w.Validate(); err != nil {
			t.Fatal(err)
		}
		chosen := "?"
		w.OnConnect = func(_ context.Context, s *transport.Socket, _ string) error {
			chosen = s.Subprotocol
			return nil
		}
		openSocket(t, w, "")
		synctest.Wait()
		if strings.ReplaceAll(offered, " ", "") != "binary,base64" || chosen != "" {
			t.Errorf("got subprotocols offered %q, chosen %q, want binary, base64 and none", offered, chosen)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.Subprotocols = []string{"binary"}
		if err := openSocketError(t, w, ""); !strings.Contains(err.Error(), `add ""`) {
			t.Errorf("got %v, want one that offers the remedy", err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // one that was not offered is still a violation
		w := rawWith(t, "Sec-WebSocket-Protocol: other\r\n", func(net.Conn) {})
		w.Subprotocols = []string{"binary", ""}
		isProtocol(t, openSocketError(t, w, ""))
	})
}

// A function that ends its goroutine fails the attempt and nothing else.
func TestWebSocketPrepareThatExits(t *testing.T) {
	feed := &transport.WebSocket{URL: "ws://127.0.0.1:1", Prepare: func(*http.Request) error {
		runtime.Goexit()
		return nil
	}}
	if _, err := feed.Open(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "Goexit") {
		t.Errorf("Open: got %v, want an error that names runtime.Goexit", err)
	}
}

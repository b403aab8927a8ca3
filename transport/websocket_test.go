package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A peer is the server's end of a WebSocket.
type peer struct {
	*websocket.Conn
	t   testing.TB
	req *http.Request
}

func (p *peer) say(texts ...string) {
	for _, s := range texts {
		if err := p.Write(p.req.Context(), websocket.MessageText, []byte(s)); err != nil {
			p.t.Logf("server: %v", err)
			return
		}
	}
}

func (p *peer) hear() string {
	_, b, err := p.Read(p.req.Context())
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}

// wait reads until the connection ends, and returns the code with which it did.
func (p *peer) wait() websocket.StatusCode {
	for {
		if _, _, err := p.Read(p.req.Context()); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// sockets serves WebSockets with a server that nobody here wrote, on a network in memory.
func sockets(t testing.TB, serve func(*peer)) *transport.WebSocket {
	return socketsWith(t, &websocket.AcceptOptions{}, serve)
}

func socketsWith(t testing.TB, o *websocket.AcceptOptions, serve func(*peer)) *transport.WebSocket {
	client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, o)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(1 << 20)
		serve(&peer{conn, t, r})
	})
	return &transport.WebSocket{URL: "ws://feed.test/live?key=secret", Client: client}
}

func openSocket(t testing.TB, w *transport.WebSocket, token string) *transport.Session {
	t.Helper()
	conn, err := w.Open(t.Context(), token)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func openSocketError(t testing.TB, w *transport.WebSocket, token string) error {
	t.Helper()
	conn, err := w.Open(t.Context(), token)
	if err == nil {
		conn.Close()
		t.Fatal("Open succeeded")
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows a secret: %v", err)
	}
	return err
}

// bubble runs f in a synctest bubble.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestWebSocketMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sizes := []int{0, 1, 125, 126, 127, 4000, 4095, 4096, 4097, 5000, 16 << 10, 65535, 65536, 70000}
		sizes = slices.Concat(sizes, sizes, []int{1 << 20, 3<<20 + 7}, sizes)
		w := sockets(t, func(p *peer) {
			for i, n := range sizes {
				p.say(strings.Repeat(string(rune('0'+i)), n))
			}
			p.Close(websocket.StatusGoingAway, "bye")
		})
		conn := openSocket(t, w, "")
		var kept []transport.Message
		for range sizes {
			kept = append(kept, read(t, conn))
		}
		for i, m := range kept {
			n := sizes[i]
			if want := strings.Repeat(string(rune('0'+i)), n); string(m.Data) != want {
				t.Errorf("message %d: %d bytes, %.20q..., want %d of %.1q", i, len(m.Data), m.Data, n, want)
			}
			if cap(m.Data) != len(m.Data) {
				t.Errorf("message %d can be appended to over the next one", i)
			}
		}
		closed := want[*transport.CloseError](t, readError(t, conn))
		if closed.Code != 1001 || closed.Reason != "bye" || strings.Contains(closed.Error(), "bye") {
			t.Errorf("closed by %+v: %v", closed, closed)
		}
	})
}

func TestWebSocketBinary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.Write(p.req.Context(), websocket.MessageBinary, []byte{0xff, 0xfe})
			p.say("text")
			p.wait()
		})
		conn := openSocket(t, w, "")
		if m := read(t, conn); m.Type != "binary" || string(m.Data) != "\xff\xfe" {
			t.Errorf("got %q %q", m.Type, m.Data)
		}
		if m := read(t, conn); m.Type != "" || string(m.Data) != "text" {
			t.Errorf("got %q %q", m.Type, m.Data)
		}
	})
}

// More is what a reader trusts when it waits for the rest of a batch: it must not be set when
// nothing more is there, and not be missing when there is.
func TestWebSocketMore(t *testing.T) {
	for _, size := range []int{0, 10, 1000, 4096, 9000, 70000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const burst = 50
				w := sockets(t, func(p *peer) {
					for range 3 {
						for range burst {
							p.say(strings.Repeat("x", size))
						}
						p.hear()
					}
					p.wait()
				})
				conn := openSocket(t, w, "")
				more := 0
				for range 3 {
					synctest.Wait() // all is sent that the network takes
					for i := range burst {
						m := read(t, conn)
						if m.More && i == burst-1 {
							t.Errorf("More is set although nothing was sent behind message %d", i)
						}
						if m.More {
							more++
						}
					}
					if err := w.Send(t.Context(), []byte("go on")); err != nil {
						t.Fatal(err)
					}
				}
				if least := 3 * burst / 3; size <= 1000 && more < least {
					t.Errorf("More was set %d times, want %d at least", more, least)
				}
			})
		})
	}
}

func TestWebSocketHandshake(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("the handshake was %v %v", got.URL, got.Header)
		}
		if got.Header.Get("Accept") != "" || got.Header.Get("Cache-Control") != "" {
			t.Errorf("the handshake says more than is needed: %v", got.Header)
		}
		if chosen != "two 42" {
			t.Errorf("OnConnect has seen %q", chosen)
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
			bubble(t, func(t *testing.T) {
				w := &transport.WebSocket{URL: "ws://feed.test/live?key=secret", Client: inMemory(t, c.serve)}
				err := openSocketError(t, w, "secret-token")
				c.check(t, err)
				if got := class(err); got != c.class {
					t.Errorf("%v is of class %s, want %s", err, got, c.class)
				}
			})
		})
	}
}

func isStatus(code int) func(t *testing.T, err error) {
	return func(t *testing.T, err error) {
		e := want[*transport.StatusError](t, err)
		if e.Code != code || code == 429 && e.RetryAfter() != 7*time.Second || code == 410 && !e.RejectsToken() {
			t.Errorf("got %+v", e)
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
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.Subprotocols = []string{"graphql-transport-ws"}
		isProtocol(t, openSocketError(t, w, ""))
	})
}

// A second page at an address that was a WebSocket before is somebody in between.
func TestWebSocketPageForAWhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("%v is taken for final", err)
		}
	})
}

func TestWebSocketCredentials(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("Prepare was asked %v", asked)
		}
		accept, asked = true, nil
		first := readError(t, openSocket(t, w, ""))
		if fmt.Sprint(asked) != "[false true]" || statusOf(first) != 401 {
			// The handshake was made with fresh credentials already, so that there are no others.
			t.Errorf("Prepare was asked %v, then: %v (status %d)", asked, first, statusOf(first))
		}
	})
}

// A close code that asks for credentials leads to one attempt with fresh ones.
func TestWebSocketRefreshByCode(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("OnConnect was told %v", fresh)
		}
		if statusOf(first) != 0 || statusOf(second) != 401 || statusOf(third) != 0 {
			t.Errorf("status %d, %d, %d", statusOf(first), statusOf(second), statusOf(third))
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

func TestWebSocketOnConnect(t *testing.T) {
	serve := func(p *peer) {
		if got := p.hear(); got != "login" {
			p.Close(4004, "no login but "+got)
			return
		}
		p.say("early event", "welcome", "event")
		p.wait()
	}
	bubble(t, func(t *testing.T) {
		w := sockets(t, serve)
		w.OnConnect = func(ctx context.Context, s *transport.Socket, token string) error {
			if err := w.Send(ctx, []byte("too soon")); !errors.Is(err, transport.ErrNotConnected) {
				t.Errorf("Send before the connection is ready: %v", err)
			}
			if err := s.Send(ctx, []byte("login")); err != nil {
				return err
			}
			for {
				m, err := s.Receive()
				if err != nil || string(m.Data) == "welcome" {
					return err
				}
				s.Unread(m)
			}
		}
		w.OnMessage = func(s *transport.Socket, m *transport.Message) error {
			m.ID = strings.ToUpper(string(m.Data))
			return nil
		}
		conn := openSocket(t, w, "")
		for _, want := range []string{"EARLY EVENT", "EVENT"} {
			if m := read(t, conn); m.ID != want {
				t.Errorf("got %q, want %q", m.ID, want)
			}
		}
	})
	for name, c := range map[string]struct {
		serve func(*peer)
		hello func(context.Context, *transport.Socket, string) error
		check func(t *testing.T, err error)
	}{
		"closed": {func(p *peer) { p.Close(4004, "") }, receiveOnce, func(t *testing.T, err error) {
			if e := want[*transport.CloseError](t, err); e.Code != 4004 || class(err) != "protocol" {
				t.Errorf("got %v", err)
			}
		}},
		"kicked": {func(p *peer) {}, func(ctx context.Context, s *transport.Socket, _ string) error {
			s.Receive()
			return errors.New("no welcome")
		}, func(t *testing.T, err error) {
			if e := want[*transport.CloseError](t, err); e.Code != 1006 {
				t.Errorf("got %v", err)
			}
		}},
		"silent": {func(p *peer) { p.wait() }, receiveOnce, func(t *testing.T, err error) {
			if e := want[*transport.TimeoutError](t, err); e.Op != "connect" || e.After != 10*time.Second {
				t.Errorf("got %v", err)
			}
		}},
		"stuck": {func(p *peer) { p.wait() }, func(ctx context.Context, s *transport.Socket, _ string) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}, func(t *testing.T, err error) {
			if e := want[*transport.TimeoutError](t, err); e.Op != "connect" {
				t.Errorf("got %v", err)
			}
		}},
		"refused": {func(p *peer) { p.wait() }, func(ctx context.Context, s *transport.Socket, _ string) error {
			return rejected{}
		}, func(t *testing.T, err error) { want[rejected](t, err) }},
		"complete": {func(p *peer) { p.wait() }, func(ctx context.Context, s *transport.Socket, _ string) error {
			return transport.ErrComplete
		}, func(t *testing.T, err error) {
			if !errors.Is(err, transport.ErrComplete) {
				t.Errorf("got %v", err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := sockets(t, c.serve)
				w.OnConnect = c.hello
				c.check(t, openSocketError(t, w, ""))
				if err := w.Send(t.Context(), nil); !errors.Is(err, transport.ErrNotConnected) {
					t.Errorf("Send: %v", err)
				}
			})
		})
	}
}

func receiveOnce(ctx context.Context, s *transport.Socket, _ string) error {
	_, err := s.Receive()
	return err
}

type rejected struct{}

func (rejected) Error() string      { return "rejected" }
func (rejected) RejectsToken() bool { return true }

func TestWebSocketControl(t *testing.T) {
	bubble(t, func(t *testing.T) {
		heard := make(chan string, 1)
		w := sockets(t, func(p *peer) {
			p.say("ping", `event`, "gap", "fatal", "never seen")
			heard <- p.hear()
			p.wait()
		})
		w.OnMessage = func(s *transport.Socket, m *transport.Message) error {
			switch string(m.Data) {
			case "ping":
				m.Kind = decode.KindKeepalive
				return s.Send(t.Context(), []byte("pong"))
			case "gap":
				m.Gap = &transport.Gap{Reason: transport.GapNotice}
			case "fatal":
				return rejected{}
			}
			return nil
		}
		conn := openSocket(t, w, "")
		if m := read(t, conn); m.Kind != decode.KindKeepalive {
			t.Errorf("ping is %v", m.Kind)
		}
		if m := read(t, conn); string(m.Data) != "event" {
			t.Errorf("got %q", m.Data)
		}
		if m := read(t, conn); m.Gap == nil || m.Gap.Reason != transport.GapNotice {
			t.Errorf("got %+v", m.Gap)
		}
		want[rejected](t, readError(t, conn))
		if got := <-heard; got != "pong" {
			t.Errorf("the server has heard %q", got)
		}
	})
}

func TestWebSocketFormat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say("{\"a\":1}\n{\"a\":2}\n", "", "\n", "{\"a\":3}", "{\"a\":4")
			p.wait()
		})
		w.Format = decode.NDJSON{}
		conn := openSocket(t, w, "")
		var got []string
		for range 5 {
			m := read(t, conn)
			got = append(got, fmt.Sprintf("%d%s", m.Kind, m.Data))
		}
		if want := `0{"a":1} 0{"a":2} 2 2 0{"a":3}`; strings.Join(got, " ") != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if e := want[*transport.MessageError](t, readError(t, conn)); !errors.Is(e, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", e)
		}
	})
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say(`[{"a":1},{"a":2}]`, `[]`, `[{"a":3}`)
			p.wait()
		})
		w.Format = decode.JSONArray{}
		conn := openSocket(t, w, "")
		for i, want := range []string{`{"a":1}`, `{"a":2}`, "", `{"a":3}`} {
			m := read(t, conn)
			if string(m.Data) != want || want == "" && m.Kind != decode.KindKeepalive {
				t.Errorf("message %d is %q, kind %d", i, m.Data, m.Kind)
			}
			if i == 0 && !m.More {
				t.Error("More is not set on the first of two")
			}
		}
		if e := want[*transport.MessageError](t, readError(t, conn)); !errors.Is(e, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", e)
		}
	})
}

func TestWebSocketUnpack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			for _, s := range []string{"a", "part", "bad", "large"} {
				p.Write(p.req.Context(), websocket.MessageBinary, []byte(s))
			}
			p.wait()
		})
		w.MaxMessage = 10
		w.NewDecompressor = func() func([]byte) ([]byte, error) {
			n := 0
			return func(b []byte) ([]byte, error) {
				n++
				switch string(b) {
				case "part":
					return nil, nil
				case "bad":
					return nil, errors.New("corrupt")
				}
				return fmt.Appendf(nil, "%d%s", n, b), nil
			}
		}
		for range 2 {
			conn := openSocket(t, w, "")
			if m := read(t, conn); string(m.Data) != "1a" {
				t.Errorf("got %q", m.Data)
			}
			if m := read(t, conn); m.Kind != decode.KindKeepalive {
				t.Errorf("got kind %v", m.Kind)
			}
			want[*transport.MessageError](t, readError(t, conn))
			conn.Close()
		}
	})
}

func TestWebSocketValidate(t *testing.T) {
	w := &transport.WebSocket{
		URL: "ftp://x", Header: http.Header{"a b": {"c"}, "sec-websocket-protocol": {"x"}, "upgrade": {"y"}}, Subprotocols: []string{"a,b"}, CloseCode: 1005,
		TrustedOrigins: []string{"wss://ok.test", "x"}, End: 9, SendRate: transport.Rate{N: 3}, OnBadFrame: func(*decode.FrameError) {},
		CloseRules: []transport.CloseRule{{From: 4000, To: 3000}, {From: 4000, Action: 99}, {From: 4000, MinWait: 2, MaxWait: 1}},
	}
	err := w.Validate()
	for _, field := range []string{"URL", "Header: Sec-Websocket-Protocol", "Header: Upgrade", "Subprotocols", "CloseCode", "TrustedOrigins: entry 1", "End", "SendRate", "OnBadFrame", "CloseRules: entry 0", "CloseRules: entry 1", "CloseRules: entry 2"} {
		if !strings.Contains(err.Error(), "WebSocket."+field) {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
	if _, openErr := w.Open(t.Context(), ""); openErr == nil || retryable(openErr) != "false" {
		t.Errorf("Open: %v", openErr)
	}
	ok := &transport.WebSocket{URL: "wss://x", TrustedOrigins: []string{"wss://y:8443"}, CloseCode: -1}
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
}

func TestWebSocketRedirect(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("%d requests, the last with %v", len(got), got[len(got)-1].Header)
		}
		w.TrustedOrigins = []string{"ws://other.test"}
		openSocket(t, w, "").Close()
		if got[3].Header.Get("X-Key") != "k" {
			t.Error("a trusted origin does not get the header")
		}
	})
}

func TestWebSocketTLS(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say("secure")
			p.wait()
		})
		w.URL = "wss://feed.test"
		conn := openSocket(t, w, "")
		if m := read(t, conn); string(m.Data) != "secure" {
			t.Errorf("got %q", m.Data)
		}
	})
}

// A negative value is off where the documentation says so, and else refused.
func TestNegativeOptions(t *testing.T) {
	w := &transport.WebSocket{
		URL: "ws://feed.test", HandshakeTimeout: -1, OnConnectTimeout: -1, PingInterval: -1, IdleTimeout: -1,
		MaxPause: -1, MaxMessage: -1, CloseCode: -1, MaxConnectionAge: -1,
	}
	if err := w.Validate(); err != nil {
		t.Error(err)
	}
	w.Client = inMemory(t, func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.Write(r.Context(), websocket.MessageText, make([]byte, 17<<20))
		c.Read(r.Context())
	})
	if m := read(t, openSocket(t, w, "")); len(m.Data) != 17<<20 {
		t.Errorf("%d bytes", len(m.Data))
	}
	for field, err := range map[string]error{
		"PongTimeout": (&transport.WebSocket{URL: "ws://feed.test", PongTimeout: -1}).Validate(),
		"SendRate":    (&transport.WebSocket{URL: "ws://feed.test", SendRate: transport.Rate{N: -1, Per: time.Second}}).Validate(),
		"CloseRules":  (&transport.WebSocket{URL: "ws://feed.test", CloseRules: []transport.CloseRule{{From: 1000, MinWait: -1}}}).Validate(),
	} {
		if err == nil || !strings.Contains(err.Error(), "."+field+": ") {
			t.Errorf("%s: -1 is accepted: %v", field, err)
		}
	}
	h := &transport.HTTP{URL: "http://feed.test", HeaderTimeout: -1, IdleTimeout: -1, PingInterval: -1, MaxFrame: -1}
	if err := h.Validate(); err != nil {
		t.Error(err)
	}
}

// A connection is no Transport: it can neither be opened nor sent on.
func TestWebSocketConnSurface(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, handover := range []bool{false, true} {
			w := sockets(t, func(p *peer) { p.wait() })
			w.Overlap = handover
			conn := openSocket(t, w, "")
			if _, ok := conn.Conn.(transport.Transport); ok {
				t.Error("the Conn is a Transport")
			}
			if _, ok := conn.Conn.(interface{ Validate() error }); ok {
				t.Error("the Conn can be validated")
			}
		}
	})
}

// The handshake of a server that chooses no subprotocol is valid (RFC 6455, section 4.1), but
// browsers fail it (WHATWG WebSockets, "establish a WebSocket connection"): it needs consent.
func TestWebSocketSubprotocolNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("offered %q, chosen %q", offered, chosen)
		}
	})
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.Subprotocols = []string{"binary"}
		if err := openSocketError(t, w, ""); !strings.Contains(err.Error(), `add ""`) {
			t.Errorf("got %v", err)
		}
	})
	bubble(t, func(t *testing.T) { // one that was not offered is still a violation
		w := rawWith(t, "Sec-WebSocket-Protocol: other\r\n", func(net.Conn) {})
		w.Subprotocols = []string{"binary", ""}
		isProtocol(t, openSocketError(t, w, ""))
	})
}

// SignalR puts 0x1E after each record, and the answer to its handshake comes together with the
// first ones (https://github.com/szarykott/signalrs/issues/14; HubProtocol.md of
// dotnet/aspnetcore).
func TestWebSocketSignalR(t *testing.T) {
	const rs = "\x1e"
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			if got := p.hear(); got != `{"protocol":"json","version":1}`+rs {
				t.Errorf("heard %q", got)
			}
			p.say(`{}`+rs+`{"type":1,"target":"a","arguments":[]}`+rs+`{"type":6}`+rs, `{"type":1,"target":"b","arguments":[]}`+rs)
			p.wait()
		})
		w.Format = decode.RSJSON{}
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			if err := s.Send(ctx, []byte(`{"protocol":"json","version":1}`+rs)); err != nil {
				return err
			}
			m, err := s.Receive()
			if err != nil {
				return err
			}
			answer, rest, _ := bytes.Cut(m.Data, []byte(rs))
			if string(answer) != "{}" {
				return errors.New("refused")
			}
			if m.Data = rest; len(rest) > 0 {
				s.Unread(m)
			}
			return nil
		}
		conn := openSocket(t, w, "")
		for _, want := range []string{`{"type":1,"target":"a","arguments":[]}`, `{"type":6}`, `{"type":1,"target":"b","arguments":[]}`} {
			if m := read(t, conn); string(m.Data) != want {
				t.Errorf("got %q, want %q", m.Data, want)
			}
		}
	})
}

package transport_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

func TestWebSocketOnConnect(t *testing.T) {
	serve := func(p *peer) {
		if got := p.hear(); got != "login" {
			p.Close(4004, "no login but "+got)
			return
		}
		p.say("early event", "welcome", "event")
		p.wait()
	}
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, serve)
		w.OnConnect = func(ctx context.Context, s *transport.Socket, token string) error {
			if err := w.Send(ctx, []byte("early")); !errors.Is(err, transport.ErrNotConnected) {
				t.Errorf("Send before the connection is ready: got %v, want %v", err, transport.ErrNotConnected)
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
				t.Errorf("got %v of class %s, want close code 4004, protocol", err, class(err))
			}
		}},
		"kicked": {func(p *peer) {}, func(ctx context.Context, s *transport.Socket, _ string) error {
			s.Receive()
			return errors.New("no welcome")
		}, func(t *testing.T, err error) {
			if e := want[*transport.CloseError](t, err); e.Code != 1006 {
				t.Errorf("got %v, want close code 1006", err)
			}
		}},
		"silent": {func(p *peer) { p.wait() }, receiveOnce, func(t *testing.T, err error) {
			if e := want[*transport.TimeoutError](t, err); e.Op != "connect" || e.After != 10*time.Second {
				t.Errorf("got %v, want a timeout of connect after 10s", err)
			}
		}},
		"stuck": {func(p *peer) { p.wait() }, func(ctx context.Context, s *transport.Socket, _ string) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}, func(t *testing.T, err error) {
			if e := want[*transport.TimeoutError](t, err); e.Op != "connect" {
				t.Errorf("got %v, want a timeout of connect", err)
			}
		}},
		"refused": {func(p *peer) { p.wait() }, func(ctx context.Context, s *transport.Socket, _ string) error {
			return rejected{}
		}, func(t *testing.T, err error) { want[rejected](t, err) }},
		"complete": {func(p *peer) { p.wait() }, func(ctx context.Context, s *transport.Socket, _ string) error {
			return transport.ErrComplete
		}, func(t *testing.T, err error) {
			if !errors.Is(err, transport.ErrComplete) {
				t.Errorf("got %v, want %v", err, transport.ErrComplete)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := sockets(t, c.serve)
				w.OnConnect = c.hello
				c.check(t, openSocketError(t, w, ""))
				if err := w.Send(t.Context(), nil); !errors.Is(err, transport.ErrNotConnected) {
					t.Errorf("Send: got %v, want %v", err, transport.ErrNotConnected)
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

func TestWebSocketValidate(t *testing.T) {
	w := &transport.WebSocket{
		URL: "ftp://x", Header: http.Header{"a b": {"c"}, "sec-websocket-protocol": {"x"}, "upgrade": {"y"}}, Subprotocols: []string{"a,b"}, CloseCode: 1005,
		TrustedOrigins: []string{"wss://ok.test", "x"}, End: 9, SendRate: transport.Rate{N: 3}, OnBadFrame: func(*decode.FrameError) {},
		CloseRules: []transport.CloseRule{{From: 4000, To: 3000}, {From: 4000, Action: 99}, {From: 4000, MinWait: 2, MaxWait: 1}},
	}
	err := w.Validate()
	for _, field := range []string{"URL", "Header: Sec-Websocket-Protocol", "Header: Upgrade", "Subprotocols", "CloseCode", "TrustedOrigins: entry 1", "End", "SendRate", "OnBadFrame", "CloseRules: entry 0", "CloseRules: entry 1", "CloseRules: entry 2"} {
		if !strings.Contains(err.Error(), "WebSocket."+field) {
			t.Errorf("got no error for %s in: %v, want one", field, err)
		}
	}
	if _, openErr := w.Open(t.Context(), ""); openErr == nil || retryable(openErr) != "false" {
		t.Errorf("Open: got %v, want an error that is not retryable", openErr)
	}
	ok := &transport.WebSocket{URL: "wss://x", TrustedOrigins: []string{"wss://y:8443"}, CloseCode: -1}
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
}

// A negative value switches an option off where the documentation allows it, and is otherwise
// rejected.
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
		t.Errorf("got %d bytes, want %d", len(m.Data), 17<<20)
	}
	for field, err := range map[string]error{
		"PongTimeout": (&transport.WebSocket{URL: "ws://feed.test", PongTimeout: -1}).Validate(),
		"SendRate":    (&transport.WebSocket{URL: "ws://feed.test", SendRate: transport.Rate{N: -1, Per: time.Second}}).Validate(),
		"CloseRules":  (&transport.WebSocket{URL: "ws://feed.test", CloseRules: []transport.CloseRule{{From: 1000, MinWait: -1}}}).Validate(),
	} {
		if err == nil || !strings.Contains(err.Error(), "."+field+": ") {
			t.Errorf("%s: got %v for -1, want an error", field, err)
		}
	}
	h := &transport.HTTP{URL: "http://feed.test", HeaderTimeout: -1, IdleTimeout: -1, PingInterval: -1, MaxFrame: -1}
	if err := h.Validate(); err != nil {
		t.Error(err)
	}
}

// A subprotocol may carry a bearer token.
func TestValidateHidesSubprotocol(t *testing.T) {
	w := &transport.WebSocket{URL: "ws://feed.test/", Subprotocols: []string{"bearer.c2VjcmV0LXRva2Vu=="}}
	if err := w.Validate(); err != nil && strings.Contains(err.Error(), "c2Vjc") {
		t.Errorf("got an error with the token: %v", err)
	}
}

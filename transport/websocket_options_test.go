package transport_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/transport"
)

// A negative value is off where the documentation says so, and else refused.
func TestNegativeOptions(t *testing.T) {
	w := &transport.WebSocket{
		URL: "ws://feed.test", HandshakeTimeout: -1, HelloTimeout: -1, PingInterval: -1, IdleTimeout: -1,
		Patience: -1, MaxMessage: -1, CloseCode: -1, MaxAge: -1,
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
		"SendLimit":   (&transport.WebSocket{URL: "ws://feed.test", SendLimit: -1, SendPer: time.Second}).Validate(),
		"Closes":      (&transport.WebSocket{URL: "ws://feed.test", Closes: []transport.CloseRule{{From: 1000, MinWait: -1}}}).Validate(),
		"MaxBody":     (&transport.Webhook{MaxBody: -1}).Validate(),
		"Buffer":      (&transport.Webhook{Buffer: -1}).Validate(),
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
			w.Handover = handover
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

package transport_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport"
)

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
		w.Hello = func(_ context.Context, s *transport.Socket, _ string) error {
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

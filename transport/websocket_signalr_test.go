package transport_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

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
		w.Hello = func(ctx context.Context, s *transport.Socket, _ string) error {
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

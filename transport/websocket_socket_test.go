package transport_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport"
)

// Two connections are open at once during a handover: each has its own value and its own life.
func TestWebSocketValueAndContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say(p.hear())
			p.wait()
		})
		w.Overlap = true
		w.OnConnect = func(ctx context.Context, s *transport.Socket, token string) error {
			s.Value = token
			return s.Send(ctx, []byte("hello"))
		}
		ended := make(map[string]error)
		w.OnMessage = func(s *transport.Socket, m *transport.Message) error {
			name := s.Value.(string)
			m.ID = name
			context.AfterFunc(s.Context(), func() { ended[name] = context.Cause(s.Context()) })
			return nil
		}
		first, second := openSocket(t, w, "first"), openSocket(t, w, "second")
		for name, conn := range map[string]*transport.Session{"first": first, "second": second} {
			if m := read(t, conn); m.ID != name {
				t.Errorf("the %s connection has the value %q", name, m.ID)
			}
		}
		first.Close()
		synctest.Wait()
		if len(ended) != 1 || !errors.Is(ended["first"], net.ErrClosed) {
			t.Errorf("after the first was closed, %v ended", ended)
		}
		second.Close()
		synctest.Wait()
		if len(ended) != 2 {
			t.Errorf("after both were closed, %v ended", ended)
		}
	})
}

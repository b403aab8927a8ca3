package channel_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/channel"
)

// prompt is a socket whose server has answered a request before Send returns.
type prompt struct {
	answers chan string
	closed  chan struct{}
}

func (p *prompt) Validate() error { return nil }

func (p *prompt) Open(context.Context, string) (*transport.Session, error) {
	return &transport.Session{Conn: p}, nil
}

func (p *prompt) Send(context.Context, []byte) error {
	for _, text := range []string{"event", "complete", ""} { // the last one is read after complete was handled
		select {
		case p.answers <- text:
		case <-p.closed: // by the channel that is complete
		}
	}
	return nil
}

func (p *prompt) Read(m *transport.Message) error {
	select {
	case text := <-p.answers:
		*m = transport.Message{Data: []byte(text)}
		return nil
	case <-p.closed:
		return io.EOF
	}
}

func (p *prompt) Close() error {
	close(p.closed)
	return nil
}

// Without acknowledgements, a channel may deliver and be complete before its request counts as sent.
func TestAnswerBeforeSendReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		request := func(int64, []channel.Request) ([]byte, error) { return []byte("request"), nil }
		mux := &channel.Mux{
			Socket: &prompt{make(chan string), make(chan struct{})}, NoAcks: true, Subscribe: request, Unsubscribe: request,
			OnMessage: func(r *channel.Router, m *transport.Message) error {
				switch string(m.Data) {
				case "event":
					r.Deliver("a", *m)
				case "complete":
					r.End("a", transport.ErrComplete)
				}
				return nil
			},
		}
		sub, err := client.Subscribe(t.Context(), mux.Channel("a"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		events := 0
		for ev, err := range sub.Events() {
			if err != nil || string(ev.Data) != "event" {
				t.Fatalf("got %q, %v, want the event", ev.Data, err)
			}
			events++
		}
		if events != 1 {
			t.Errorf("got %d events before the end, want 1", events)
		}
	})
}

package channel_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/transporttest"
)

// A channel keeps the contract of a Transport, alone and next to another one that holds the
// connection open.
func TestConformance(t *testing.T) {
	for name, shared := range map[string]bool{"alone": false, "shared": true} {
		t.Run(name, func(t *testing.T) {
			transporttest.RunInBubble(t, func(t testing.TB, s transporttest.Script) transport.Transport {
				if shared && (s.Dial != transporttest.DialAccepted || s.Misconfigured) {
					return nil
				}
				return startMux(t, s, shared)
			})
		})
	}
}

func startMux(t testing.TB, s transporttest.Script, shared bool) transport.Transport {
	srv := mock.NewServer(player{s})
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	mux := newMux(srv)
	mux.Retry.Base, mux.Retry.Cap, mux.Retry.Reconnect = time.Millisecond, time.Millisecond, time.Millisecond
	w := mux.Socket.(*transport.WebSocket)
	if s.Dial == transporttest.DialRefused {
		w.URL = "ws://feed.test:9"
	}
	if s.Misconfigured {
		mux.Batch = -1
	}
	if shared {
		other, err := mux.Channel("other").Open(context.Background(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { other.Close() })
	}
	return mux.Channel("feed")
}

// A player plays a script on the channel "feed". If the script ends the connection, it does that.
type player struct{ transporttest.Script }

func (s player) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Dial == transporttest.DialSilent {
		<-r.Context().Done()
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	p := &peer{context.Background(), c}
	stop := func() {}
	for {
		a := p.read()
		if a.Op == "" {
			break
		}
		if a.Names[0] != "feed" {
			p.say(word{Re: a.ID})
			continue
		}
		stop()
		p.say(word{Re: a.ID})
		if stop = func() {}; a.Op == "sub" {
			ctx, cancel := context.WithCancel(p.ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.play(ctx, p, a.After[0])
			}()
			stop = func() { cancel(); <-done }
		}
	}
	c.CloseNow() // a write that waits
	stop()
}

func (s player) play(ctx context.Context, p *peer, since string) {
	at := slices.IndexFunc(s.Events, func(e transporttest.Event) bool { return e.Token == since }) + 1
	for _, e := range s.Events[at:] {
		select {
		case <-time.After(e.Pause):
		case <-ctx.Done():
			return
		}
		p.say(word{Ch: "feed", N: e.Token, Data: json.RawMessage(e.Data)})
	}
	if since != "" {
		return
	}
	switch s.Ending {
	case transporttest.EndingClean:
		p.say(word{End: "feed"})
	case transporttest.EndingComplete:
		p.say(word{End: "feed", Error: "complete"})
	case transporttest.EndingCut:
		p.ws.CloseNow()
	case transporttest.EndingPartial:
		w, err := p.ws.Writer(ctx, websocket.MessageText)
		if err == nil {
			w.Write(make([]byte, 10<<10)) // frames of a message whose end is missing
			p.ws.CloseNow()
		}
	}
}

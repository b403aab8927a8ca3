package channel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/channel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An ask is a message of the client: it subscribes to channels after their tokens, or ends them.
type ask struct {
	Op    string // "sub" or "unsub"
	ID    int64
	Names []string
	After []string
}

// A word is a message of the server.
type word struct {
	Re     int64           `json:",omitempty"` // acknowledges the request
	Ack    string          `json:",omitempty"` // acknowledges the channel
	End    string          `json:",omitempty"` // ends the channel
	Error  string          `json:",omitempty"` // of Re or End; "final: ..." is final
	Ch     string          `json:",omitempty"` // of an event
	N      string          `json:",omitempty"` // its token
	Data   json.RawMessage `json:",omitempty"`
	Lost   bool            `json:",omitempty"` // events before this one are missing
	Broken string          `json:",omitempty"` // an error of the connection
}

// refusal is an error with all methods that decide what follows.
type refusal struct {
	text string
	code int
}

func (r *refusal) Error() string   { return r.text }
func (r *refusal) Retryable() bool { return r.code != 1 }
func (r *refusal) StatusCode() int {
	if r.code < 2 {
		return 0
	}
	return r.code
}

var (
	errFinal   = &refusal{"no such channel", 1}
	errBusy    = &refusal{"busy", 0}
	errTooMany = &refusal{"too many requests", http.StatusTooManyRequests}
)

func errorOf(text string) error {
	for _, err := range []*refusal{errFinal, errBusy, errTooMany} {
		if text == err.text {
			return err
		}
	}
	if text == errGone.text {
		return errGone
	}
	if text == "complete" {
		return transport.ErrComplete
	}
	if text != "" {
		return errors.New(text)
	}
	return nil
}

func subscribe(id int64, channels []channel.Request) ([]byte, error) {
	a := ask{Op: "sub", ID: id}
	for _, c := range channels {
		a.Names, a.After = append(a.Names, c.Name), append(a.After, c.Token)
	}
	return json.Marshal(a)
}

func unsubscribe(id int64, channels []channel.Request) ([]byte, error) {
	a := ask{Op: "unsub", ID: id}
	for _, c := range channels {
		a.Names = append(a.Names, c.Name)
	}
	return json.Marshal(a)
}

func onMessage(r *channel.Router, m *transport.Message) error {
	var w word
	if err := json.Unmarshal(m.Data, &w); err != nil {
		return err
	}
	switch {
	case w.Broken != "":
		return errors.New(w.Broken)
	case w.Re != 0:
		r.Reply(w.Re, errorOf(w.Error))
	case w.Ack != "":
		r.Ack(w.Ack)
	case w.End != "":
		r.End(w.End, errorOf(w.Error))
	case w.Ch != "":
		e := transport.Message{Data: w.Data, Token: w.N}
		if w.Lost {
			e.Gap = &transport.Gap{Reason: transport.GapNotice}
		}
		r.Deliver(w.Ch, e)
	}
	return nil
}

// newMux returns a Mux for the protocol above, over a mock network.
func newMux(srv *mock.Server) *channel.Mux {
	return &channel.Mux{
		Socket:    &transport.WebSocket{URL: "ws://feed.test", Client: srv.Client()},
		Subscribe: subscribe, Unsubscribe: unsubscribe, OnMessage: onMessage,
	}
}

// serve runs talk for each connection, on its own goroutine, with the number of the connection.
func serve(t testing.TB, talk func(n int, p *peer)) *mock.Server {
	t.Helper()
	var mu sync.Mutex
	n := 0
	srv := mock.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		mu.Lock()
		n++
		number := n
		mu.Unlock()
		talk(number, &peer{ctx: r.Context(), ws: ws})
	}))
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

// A peer is the server's side of a connection.
type peer struct {
	ctx context.Context
	ws  *websocket.Conn
}

// read returns the next message of the client; its Op is empty if there is none.
func (p *peer) read() (a ask) {
	_, text, err := p.ws.Read(p.ctx)
	if err == nil {
		json.Unmarshal(text, &a)
	}
	return a
}

func (p *peer) say(words ...word) {
	for _, w := range words {
		text, _ := json.Marshal(w)
		p.ws.Write(p.ctx, websocket.MessageText, text)
	}
}

// event returns the n-th event of a channel.
func event(ch string, n int) word {
	return word{Ch: ch, N: fmt.Sprint(n), Data: json.RawMessage(fmt.Sprint(n))}
}

// obey acknowledges everything until the connection ends, and calls then after each message.
func (p *peer) obey(then func(a ask)) {
	for {
		a := p.read()
		if a.Op == "" {
			return
		}
		p.say(word{Re: a.ID})
		if then != nil {
			then(a)
		}
	}
}

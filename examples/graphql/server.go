package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	tick      = 20 * time.Millisecond // between orders
	lastOrder = 30
)

// A server has thirty orders. It misbehaves in a different way on each subscription.
type server struct{ subscriptions atomic.Int32 }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	p := &peer{ctx, ws}
	if ws.Subprotocol() != subprotocol {
		ws.Close(4406, "subprotocol not acceptable")
		return
	}
	if code, reason := s.serve(p); code != 0 {
		ws.Close(code, reason)
	}
}

// serve returns the code to close with, 0 for none.
func (s *server) serve(p *peer) (websocket.StatusCode, string) {
	var init struct{ Secret string }
	if e, err := p.read(); err != nil || e.Type != "connection_init" || json.Unmarshal(e.Payload, &init) != nil {
		return 4400, "invalid message"
	}
	if init.Secret != "new" {
		return 4403, "forbidden"
	}
	p.write("", "ping", nil) // allowed at any time
	if e, err := p.read(); err != nil || e.Type != "pong" {
		return 4400, "invalid message"
	}
	p.write("", "connection_ack", nil)
	e, err := p.read()
	var want struct {
		Query     string
		Variables struct{ After string }
	}
	if err != nil || e.Type != "subscribe" || json.Unmarshal(e.Payload, &want) != nil {
		return 4400, "invalid message"
	}
	if want.Query != query {
		p.write(e.ID, "error", []map[string]string{{"message": `Cannot query field "ordersChanged" on type "Subscription".`}})
		p.read()
		return 0, ""
	}
	after, _ := strconv.Atoi(strings.TrimPrefix(want.Variables.After, "cursor-"))
	return s.play(p, e.ID, after)
}

// play runs a subscription that starts after the order with the number after.
func (s *server) play(p *peer, id string, after int) (websocket.StatusCode, string) {
	switch s.subscriptions.Add(1) {
	case 1:
		p.orders(id, after, 10)
		return 0, "" // the connection is cut
	case 2:
		p.orders(id, after, 5)
		p.write("", "ping", map[string]int{"load": 99})
		if e, err := p.read(); err != nil || e.Type != "pong" || string(e.Payload) != `{"load":99}` {
			return 4400, "invalid message"
		}
		p.write("", "pong", nil) // unsolicited, which is allowed
		p.write("9", "next", map[string]any{"data": "of an ended subscription"})
		p.orders(id, after+5, 5)
		return websocket.StatusGoingAway, "restart"
	}
	p.orders(id, after, lastOrder-after)
	p.write(id, "complete", nil)
	p.read() // until the client disconnects
	return 0, ""
}

// A peer is the connection of one client.
type peer struct {
	ctx context.Context
	ws  *websocket.Conn
}

func (p *peer) orders(id string, after, n int) {
	for i := after + 1; i <= after+n; i++ {
		p.write(id, "next", map[string]any{"data": map[string]any{
			"orderChanged": map[string]any{"number": i, "cursor": fmt.Sprint("cursor-", i)},
		}})
		time.Sleep(tick)
	}
}

func (p *peer) read() (e envelope, err error) {
	_, text, err := p.ws.Read(p.ctx)
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	return e, err
}

func (p *peer) write(id, kind string, payload any) {
	p.ws.Write(p.ctx, websocket.MessageText, encode(id, kind, payload))
}

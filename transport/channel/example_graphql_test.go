package channel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/channel"
)

// A graphMessage is a message of graphql-transport-ws
// (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md).
type graphMessage struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

func encodeGraph(id int64, kind string, payload any) []byte {
	m := graphMessage{Type: kind}
	if id != 0 {
		m.ID = fmt.Sprint(id)
	}
	if payload != nil {
		m.Payload, _ = json.Marshal(payload)
	}
	text, _ := json.Marshal(m)
	return text
}

// graphQL returns a Mux whose channels are GraphQL subscriptions: the name of a channel is a query with
// the variable after, which is the position.
func graphQL(url string, c *http.Client) *channel.Mux {
	return &channel.Mux{
		NoAcks: true,
		Socket: &transport.WebSocket{
			URL: url, Client: c, Subprotocols: []string{"graphql-transport-ws"}, CloseRules: transport.GraphQLCloseRules(),
			OnConnect: initGraph, OnMessage: pongGraph,
		},
		Subscribe: func(id int64, channels []channel.Request) ([]byte, error) {
			variables := make(map[string]string)
			if token := channels[0].Token; token != "" {
				variables["after"] = token
			}
			return encodeGraph(id, "subscribe", map[string]any{"query": channels[0].Name, "variables": variables}), nil
		},
		Unsubscribe: func(_ int64, channels []channel.Request) ([]byte, error) {
			return encodeGraph(channels[0].ID, "complete", nil), nil
		},
		OnMessage: onGraph,
	}
}

// initGraph opens the session. It may send credentials as the payload.
func initGraph(ctx context.Context, s *transport.Socket, _ string) error {
	if err := s.Send(ctx, encodeGraph(0, "connection_init", nil)); err != nil {
		return err
	}
	for {
		m, err := s.Receive()
		if err != nil || decode.Field(m.Data, "type") == "connection_ack" {
			return err
		}
		if err := pongGraph(s, &m); err != nil {
			return err
		}
	}
}

func pongGraph(s *transport.Socket, m *transport.Message) error {
	switch decode.Field(m.Data, "type") {
	case "ping":
		m.Kind = decode.KindKeepalive
		return s.Send(context.Background(), encodeGraph(0, "pong", nil))
	case "pong":
		m.Kind = decode.KindKeepalive
	}
	return nil
}

// onGraph finds the channel by the id of its subscription. Messages of one that was removed have an
// id without a channel.
func onGraph(r *channel.Router, m *transport.Message) error {
	v, err := decode.JSON[graphMessage](m.Data)
	if err != nil {
		return err
	}
	var id int64
	fmt.Sscan(v.ID, &id)
	name := r.NameOf(id)
	switch v.Type {
	case "next":
		r.Deliver(name, transport.Message{Data: v.Payload})
	case "complete":
		r.End(name, transport.ErrComplete)
	case "error":
		r.End(name, newGraphError(v.Payload))
	}
	return nil
}

// A graphError is the server's refusal to execute a query. The same query has the same answer.
type graphError struct{ text string }

func (e *graphError) Error() string   { return e.text }
func (e *graphError) Retryable() bool { return false }

func newGraphError(payload []byte) error {
	all, err := decode.JSON[[]struct{ Message string }](payload)
	if err != nil {
		return err
	}
	var texts []string
	for _, one := range all {
		texts = append(texts, one.Message)
	}
	return &graphError{strings.Join(texts, "; ")}
}

// GraphQL subscriptions over one connection of graphql-transport-ws. The server rejects one of them;
// the others resume after the connection is lost.
func ExampleMux_graphQL() {
	srv := mock.NewServer(new(graphServer))
	defer srv.Close()
	mux := graphQL("ws://graph.example/graphql", srv.Client())

	follow := func(query string, n int) {
		sub, err := client.Subscribe(context.Background(), mux.Channel(query), &client.Options{
			TokenOf: client.Field("data.orders.cursor"),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer sub.Close()
		for ev, err := range sub.Events() {
			var failed *channel.Error
			if errors.As(err, &failed) {
				fmt.Println(failed.Err)
			}
			if err != nil {
				return
			}
			if fmt.Println(string(ev.Data)); ev.Gap != nil {
				fmt.Println("events may be missing")
			}
			if n--; n == 0 {
				return
			}
		}
	}
	follow("subscription ($after: String) { orders(after: $after) { cursor } }", 4)
	follow("subscription { ordres { cursor } }", 1)
	// Output:
	// {"data":{"orders":{"cursor":"1"}}}
	// {"data":{"orders":{"cursor":"2"}}}
	// {"data":{"orders":{"cursor":"3"}}}
	// {"data":{"orders":{"cursor":"4"}}}
	// Cannot query field "ordres" on type "Subscription".
}

// A graphServer sends two orders on each connection and then cuts it.
type graphServer struct{}

func (*graphServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	write := func(text []byte) { ws.Write(r.Context(), websocket.MessageText, text) }
	for {
		_, text, err := ws.Read(r.Context())
		if err != nil {
			return
		}
		m, _ := decode.JSON[graphMessage](text)
		switch m.Type {
		case "connection_init":
			write(encodeGraph(0, "ping", nil))
			write(encodeGraph(0, "connection_ack", nil))
		case "subscribe":
			var id int64
			fmt.Sscan(m.ID, &id)
			if strings.Contains(string(m.Payload), "ordres") {
				write(encodeGraph(id, "error", []map[string]string{{"message": `Cannot query field "ordres" on type "Subscription".`}}))
				continue
			}
			after := 0
			fmt.Sscan(decode.Field(m.Payload, "variables.after"), &after)
			for n := after + 1; n <= after+2; n++ {
				write(encodeGraph(id, "next", map[string]any{"data": map[string]any{"orders": map[string]string{"cursor": fmt.Sprint(n)}}}))
			}
			return
		}
	}
}

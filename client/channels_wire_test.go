//go:build integration

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/channel"
)

// graphChannels returns a Mux for graphql.js. The name of a channel is a query.
func graphChannels(k *graphTicks) *channel.Mux {
	ids := func(id int64) string { return strconv.FormatInt(id, 10) }
	return &channel.Mux{
		NoAcks: true, Retry: quick,
		Socket: &transport.WebSocket{
			URL: "ws://" + k.addr + "/graphql?name=" + k.name, Subprotocols: []string{"graphql-transport-ws"},
			CloseRules: transport.GraphQLCloseRules(),
			OnConnect: func(ctx context.Context, s *transport.Socket, _ string) error {
				if err := k.renew(ctx); err != nil {
					return err
				}
				return k.login(ctx, s)
			},
			OnMessage: func(s *transport.Socket, m *transport.Message) error {
				switch decode.Field(m.Data, "type") {
				case "ping":
					m.Kind = decode.KindKeepalive
					return s.Send(context.Background(), []byte(`{"type":"pong"}`))
				case "pong":
					m.Kind = decode.KindKeepalive
				}
				return nil
			},
		},
		Subscribe: func(id int64, channels []channel.Request) ([]byte, error) {
			since, _ := strconv.Atoi(channels[0].Token)
			return json.Marshal(map[string]any{"id": ids(id), "type": "subscribe", "payload": map[string]any{
				"query": channels[0].Name, "variables": map[string]int{"since": since, "until": k.until},
			}})
		},
		Unsubscribe: func(_ int64, channels []channel.Request) ([]byte, error) {
			return json.Marshal(map[string]string{"id": ids(channels[0].ID), "type": "complete"})
		},
		OnMessage: func(r *channel.Router, m *transport.Message) error {
			v, err := decode.JSON[struct {
				ID, Type string
				Payload  json.RawMessage
			}](m.Data)
			if err != nil {
				return err
			}
			id, _ := strconv.ParseInt(v.ID, 10, 64)
			switch name := r.NameOf(id); v.Type {
			case "next":
				seq := decode.Field(v.Payload, "data.ticks.seq")
				r.Deliver(name, transport.Message{Data: v.Payload, ID: seq, Token: seq})
			case "complete":
				r.End(name, transport.ErrComplete)
			case "error":
				r.End(name, errRefused)
			}
			return nil
		},
	}
}

// Three subscriptions share the connections of the library graphql-ws, which it ends again and again;
// a fourth is refused alone, and a fifth is removed and added again.
func TestGraphQLChannels(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	n := startNode(t, "graphql.js")
	k := &graphTicks{addr: n.addr, name: "channels", token: "channels-0", until: 210}
	mux := graphChannels(k)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	subscribe := func(query string) *client.Subscription {
		sub, err := client.Subscribe(ctx, mux.Channel(query), &client.Options{Retry: quick})
		if err != nil {
			t.Fatal(err)
		}
		return sub
	}
	var group sync.WaitGroup
	for i := range 3 {
		sub := subscribe(fmt.Sprintf("subscription t%d($since: Int!, $until: Int!) { ticks(since: $since, until: $until) { seq } }", i))
		group.Go(func() {
			defer sub.Close()
			count(t, sub, 1, k.until)
			if _, err := sub.Next(ctx); err != io.EOF {
				t.Errorf("Next after complete: got %v, want io.EOF", err)
			}
		})
	}
	refused := subscribe("subscription { tocks { seq } }")
	defer refused.Close()
	var failed *channel.Error
	if _, err := refused.Next(ctx); !errors.As(err, &failed) || !errors.Is(err, errRefused) {
		t.Errorf("an invalid query: got %v, want it refused", err)
	}
	for range 5 {
		sub := subscribe("subscription again($since: Int!, $until: Int!) { ticks(since: $since, until: $until) { seq } }")
		count(t, sub, 1, 10)
		sub.Close()
	}
	group.Wait()
	opened, _ := n.lines("opened channels")
	if s := mux.Stats(); s.Channels != 0 || s.Connections < 3 || int(s.Connections) > len(opened) {
		t.Errorf("got %+v and %d connections at the server, want no channels left and at least 3 connections", s, len(opened))
	}
	t.Logf("3 × %d ticks over %d connections; %+v", k.until, len(opened), mux.Stats())
}

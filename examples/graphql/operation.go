package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

const subprotocol = "graphql-transport-ws"

// An envelope is a message of the subprotocol
// (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md).
type envelope struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// encode returns a message. payload must be a value that encoding/json can marshal.
func encode(id, kind string, payload any) []byte {
	e := envelope{ID: id, Type: kind}
	if payload != nil {
		e.Payload, _ = json.Marshal(payload)
	}
	text, _ := json.Marshal(e)
	return text
}

// An operation is one GraphQL subscription, on its own connection.
type operation struct {
	url    string
	client *http.Client
	query  string
	secret func(fresh bool) string
}

const operationID = "1"

// typeErrors is the Type of an event whose data is the whole result, because the result has
// errors.
const typeErrors = "errors"

func (o *operation) feed() *transport.WebSocket {
	return &transport.WebSocket{
		URL:          o.url,
		Client:       o.client,
		Subprotocols: []string{subprotocol},
		OnConnect:    o.onConnect,
		OnMessage:    onMessage,
		CloseRules:   transport.GraphQLCloseRules(),
	}
}

// onConnect asks for the results after token. The server answers subscribe only with results.
func (o *operation) onConnect(ctx context.Context, s *transport.Socket, token string) error {
	secret := o.secret(transport.CredentialsRejected(ctx))
	if err := s.Send(ctx, encode("", "connection_init", map[string]string{"secret": secret})); err != nil {
		return err
	}
	if err := awaitAck(ctx, s); err != nil {
		return err
	}
	variables := make(map[string]string)
	if token != "" {
		variables["after"] = token
	}
	return s.Send(ctx, encode(operationID, "subscribe", map[string]any{"query": o.query, "variables": variables}))
}

func awaitAck(ctx context.Context, s *transport.Socket) error {
	for {
		m, err := s.Receive()
		if err != nil {
			return err
		}
		e, err := decode.JSON[envelope](m.Data)
		if err != nil {
			return err
		}
		switch e.Type {
		case "connection_ack":
			return nil
		case "ping":
			if err := pong(ctx, s, e); err != nil {
				return err
			}
		case "pong":
		default:
			return fmt.Errorf("%q instead of an answer to connection_init", e.Type)
		}
	}
}

func pong(ctx context.Context, s *transport.Socket, ping envelope) error {
	ping.Type = "pong"
	text, err := json.Marshal(ping)
	if err != nil {
		return err
	}
	return s.Send(ctx, text)
}

// onMessage turns a result into an event and handles every other message.
func onMessage(s *transport.Socket, m *transport.Message) error {
	e, err := decode.JSON[envelope](m.Data)
	if err != nil {
		return err
	}
	switch {
	case e.Type == "ping":
		m.Kind = decode.KindKeepalive
		return pong(context.Background(), s, e)
	case e.ID != operationID: // no operation, or one that has ended
		m.Kind = decode.KindKeepalive
		return nil
	}
	switch e.Type {
	case "next":
		return cut(e.Payload, m)
	case "complete":
		return transport.ErrComplete
	case "error":
		return newOperationError(e.Payload)
	}
	m.Kind = decode.KindKeepalive
	return nil
}

// cut sets m to the event of a result.
func cut(payload []byte, m *transport.Message) error {
	r, err := decode.JSON[struct{ Data, Errors json.RawMessage }](payload)
	if err != nil {
		return err
	}
	m.Data = r.Data
	if len(r.Errors) > 0 {
		m.Type, m.Data = typeErrors, payload
	}
	return nil
}

// An operationError reports that the server does not execute the subscription, or no longer
// does.
type operationError struct{ messages []string }

func newOperationError(payload []byte) error {
	all, err := decode.JSON[[]struct{ Message string }](payload)
	if err != nil {
		return err
	}
	e := new(operationError)
	for _, one := range all {
		e.messages = append(e.messages, one.Message)
	}
	return e
}

func (e *operationError) Error() string { return "refused: " + strings.Join(e.messages, "; ") }

// Retryable returns false: the same query has the same answer.
func (e *operationError) Retryable() bool { return false }

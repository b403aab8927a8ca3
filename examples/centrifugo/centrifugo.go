package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/channel"
)

// A reply is a message of Centrifugo's bidirectional protocol, in JSON
// (https://centrifugal.dev/docs/transports/client_protocol).
type reply struct {
	ID        int64
	Error     *serverError
	Connect   *struct{ Client string }
	Subscribe *subscribed
	Push      *struct {
		Channel     string
		Pub         *publication
		Unsubscribe *struct {
			Code   int
			Reason string
		}
	}
}

// A subscribed is the answer to a subscription. With recovery, it contains the publications since
// the position.
type subscribed struct {
	Positioned, Recoverable  bool
	Epoch                    string
	Offset                   uint64
	WasRecovering, Recovered bool
	Publications             []publication
}

// UnmarshalJSON is needed for the one name with an underscore.
func (s *subscribed) UnmarshalJSON(data []byte) error {
	type plain subscribed
	v := struct {
		*plain
		Was bool `json:"was_recovering"`
	}{plain: (*plain)(s)}
	err := json.Unmarshal(data, &v)
	s.WasRecovering = v.Was
	return err
}

type publication struct {
	Data   json.RawMessage
	Offset uint64
}

// A serverError is the error of a reply (https://centrifugal.dev/docs/server/codes).
type serverError struct {
	Code      int
	Message   string
	Temporary bool
}

func (e *serverError) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// Retryable includes an expired token (109), because Prepare gets another one.
func (e *serverError) Retryable() bool { return e.Temporary || e.Code == 109 || e.Code == 112 }

// RejectsToken reports whether the position is unrecoverable.
func (e *serverError) RejectsToken() bool { return e.Code == 112 }

// A stop is the end of a channel by the server that is not followed by another attempt.
type stop struct {
	code   int
	reason string
}

func (e *stop) Error() string   { return fmt.Sprintf("%s (%d)", e.reason, e.code) }
func (e *stop) Retryable() bool { return false }

// A session is the client's side of one Mux.
type session struct {
	epochs map[string]string // of each channel that is open; used by OnMessage only
}

// newMux returns a Mux for a server. token returns a fresh token for a channel, or "" if it needs none.
func newMux(url string, c *http.Client, token func(ctx context.Context, name string) (string, error)) *channel.Mux {
	s := &session{epochs: make(map[string]string)}
	return &channel.Mux{
		Socket: &transport.WebSocket{
			URL: url, Client: c, OnConnect: s.connect, OnMessage: s.split,
			CloseRules: []transport.CloseRule{
				{From: 3000, To: 3499, Action: transport.ActionReconnect},
				{From: 3500, To: 3999, Action: transport.ActionStop},
				{From: 4000, To: 4499, Action: transport.ActionReconnect},
				{From: 4500, To: 4999, Action: transport.ActionStop},
			},
		},
		Prepare: func(ctx context.Context, r *channel.Request) error {
			t, err := token(ctx, r.Name)
			r.Value = t
			return err
		},
		Subscribe:   subscribe,
		Unsubscribe: unsubscribe,
		OnMessage:   s.onMessage,
	}
}

func command(id int64, name string, params map[string]any) ([]byte, error) {
	return json.Marshal(map[string]any{"id": id, name: params})
}

// connectID is the id of the command connect. Those of a Mux are positive and smaller.
const connectID = 1 << 30

// connect opens the session. A token of the connection belongs in the command.
func (s *session) connect(ctx context.Context, socket *transport.Socket, _ string) error {
	clear(s.epochs)
	text, err := command(connectID, "connect", map[string]any{})
	if err != nil {
		return err
	}
	if err := socket.Send(ctx, text); err != nil {
		return err
	}
	m, err := socket.Receive()
	if err != nil {
		return err
	}
	v, err := decode.JSON[reply](m.Data)
	switch {
	case err != nil:
		return err
	case v.Error != nil:
		return v.Error
	case v.Connect == nil:
		return fmt.Errorf("no answer to connect")
	}
	return nil
}

// split splits a message, which may consist of several lines, and answers the empty one, a ping.
func (s *session) split(socket *transport.Socket, m *transport.Message) error {
	m.Parts = []transport.Message{}
	for line := range bytes.Lines(m.Data) {
		switch line = bytes.TrimSpace(line); string(line) {
		case "":
		case "{}":
			if err := socket.Send(context.Background(), []byte("{}")); err != nil {
				return err
			}
		default:
			m.Parts = append(m.Parts, transport.Message{Data: line})
		}
	}
	return nil
}

// A position is the offset of a publication and the epoch of its stream, in one token.
func position(offset uint64, epoch string) string { return fmt.Sprintf("%d:%s", offset, epoch) }

func subscribe(id int64, channels []channel.Request) ([]byte, error) {
	c := channels[0]
	params := map[string]any{"channel": c.Name}
	if token, _ := c.Value.(string); token != "" {
		params["token"] = token
	}
	if offset, epoch, ok := strings.Cut(c.Token, ":"); ok {
		n, err := strconv.ParseUint(offset, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("a position that is not one of Centrifugo")
		}
		params["recover"], params["offset"], params["epoch"] = true, n, epoch
	}
	return command(id, "subscribe", params)
}

func unsubscribe(id int64, channels []channel.Request) ([]byte, error) {
	return command(id, "unsubscribe", map[string]any{"channel": channels[0].Name})
}

func (s *session) onMessage(r *channel.Router, m *transport.Message) error {
	v, err := decode.JSON[reply](m.Data)
	switch {
	case err != nil:
		return err
	case v.Error != nil && v.Error.Code == 105: // already subscribed
		r.Reply(v.ID, nil)
	case v.Error != nil:
		r.Reply(v.ID, v.Error)
	case v.Subscribe != nil:
		s.opened(r, r.NameOf(v.ID), v.ID, v.Subscribe)
	case v.ID != 0:
		r.Reply(v.ID, nil)
	case v.Push != nil && v.Push.Pub != nil:
		s.deliver(r, v.Push.Channel, *v.Push.Pub, nil)
	case v.Push != nil && v.Push.Unsubscribe != nil:
		u := v.Push.Unsubscribe
		var end error // subscribe again
		if u.Code < 2500 {
			end = &stop{u.Code, cmp.Or(u.Reason, "unsubscribed by the server")}
		}
		r.End(v.Push.Channel, end)
	}
	return nil
}

// opened handles the answer to a subscription: what was recovered precedes what follows.
func (s *session) opened(r *channel.Router, name string, id int64, sub *subscribed) {
	if name == "" { // it was removed
		return
	}
	r.Reply(id, nil)
	if s.epochs[name] = ""; sub.Positioned || sub.Recoverable {
		s.epochs[name] = sub.Epoch
	}
	var gap *transport.Gap
	if sub.WasRecovering && !sub.Recovered {
		gap = &transport.Gap{Reason: transport.GapTokenRejected}
	}
	if len(sub.Publications) > 0 {
		for _, p := range sub.Publications {
			s.deliver(r, name, p, gap)
			gap = nil
		}
		return // sub.Offset is the position before them
	}
	at := transport.Message{Kind: decode.KindPosition, Gap: gap}
	if s.epochs[name] != "" {
		at.Token = position(sub.Offset, sub.Epoch)
	}
	r.Deliver(name, at)
}

func (s *session) deliver(r *channel.Router, name string, p publication, gap *transport.Gap) {
	e := transport.Message{Data: p.Data, Gap: gap}
	if epoch := s.epochs[name]; epoch != "" && p.Offset > 0 {
		e.Token = position(p.Offset, epoch)
	}
	r.Deliver(name, e)
}

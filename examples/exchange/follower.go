package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// A message is a message of the exchange.
type message struct {
	Type    string
	Message string // of an error
	update
}

type request struct {
	Type     string   `json:"type"`
	Channels []string `json:"channels"`
	Products []string `json:"products"`
}

// feed returns the transport for this exchange.
func (f *follower) feed() *transport.WebSocket {
	return &transport.WebSocket{
		URL:         f.url + "/feed",
		Client:      f.client,
		OnConnect:   subscribe,
		OnMessage:   onMessage,
		IdleTimeout: 5 * heartbeat, // even a quiet market sends heartbeats
	}
}

// subscribe returns when the exchange has acknowledged. It has no position to send.
func subscribe(ctx context.Context, s *transport.Socket, _ string) error {
	text, err := json.Marshal(request{"subscribe", []string{"updates", "heartbeat"}, products})
	if err != nil {
		return err
	}
	if err := s.Send(ctx, text); err != nil {
		return err
	}
	for {
		m, err := s.Receive()
		if err != nil {
			return err
		}
		said, err := decode.JSON[message](m.Data)
		switch {
		case err != nil:
			return err
		case said.Type == "subscriptions":
			return nil
		case said.Type == "error":
			return errors.New("refused: " + said.Message)
		}
		s.Unread(m) // an update that came before the acknowledgement
	}
}

// onMessage distinguishes updates from the messages between them.
func onMessage(_ *transport.Socket, m *transport.Message) error {
	said, err := decode.JSON[message](m.Data)
	if err != nil {
		return err
	}
	switch said.Type {
	case "update":
		m.Type, m.ID = said.Type, fmt.Sprint(said.Product, " ", said.Sequence)
	case "closed":
		return transport.ErrComplete
	case "error":
		return errors.New("cut off: " + said.Message)
	default:
		m.Kind = decode.KindKeepalive
	}
	return nil
}

// sequence returns the number of an update or of a snapshot. The subscription detects what is missing,
// and drops what a snapshot covers.
func sequence(ev client.Event) (product string, n uint64, ok bool) {
	u, err := decode.JSON[update](ev.Data)
	return u.Product, u.Sequence, err == nil
}

func (f *follower) options() *client.Options {
	return &client.Options{
		Dedupe:     1024,
		SequenceOf: sequence,
		Backfill:   f.backfill,
		Trace:      f.trace(),
		Retry:      retry.Constant(50 * time.Millisecond), // for the example; omit it
	}
}

// backfill replaces what is missing by snapshots: of one product, or of all after a reconnect. The
// connection is open meanwhile. If a cache answers with a snapshot that is too old, backfill is
// called again.
func (f *follower) backfill(ctx context.Context, gap client.Gap, deliver func(transport.Message) error) (string, error) {
	for _, product := range products {
		if gap.Reason == transport.GapStart || gap.Key != "" && gap.Key != product {
			continue // at the start, it is called again with an open connection
		}
		text, err := f.fetch(ctx, product)
		if err != nil {
			return "", err
		}
		if err := deliver(transport.Message{Type: "snapshot", Data: text}); err != nil {
			return "", err
		}
	}
	return "", nil
}

func (f *follower) fetch(ctx context.Context, product string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/snapshot?product="+url.QueryEscape(product), nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("snapshot of %s: %s", product, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

func (f *follower) trace() *client.Trace {
	return &client.Trace{
		Connected: func(client.ConnectInfo) { f.out.Print("connected and subscribed") },
		Disconnected: func(d client.DisconnectInfo) {
			if !d.Final {
				f.out.Printf("lost: %s; again in %v", why(d.Err), d.Delay.Round(time.Millisecond))
			}
		},
		Gap: func(g client.Gap) { f.out.Print("missed: ", missed(g)) },
	}
}

func missed(g client.Gap) string {
	if g.Missed > 0 {
		return fmt.Sprintf("%d of %s (%s)", g.Missed, g.Key, g.Reason)
	}
	return fmt.Sprintf("unknown (%s)", g.Reason)
}

func why(err error) string {
	var silent *transport.TimeoutError
	if errors.As(err, &silent) {
		return "no " + silent.Op
	}
	return err.Error()
}

// A follower keeps a copy of the books.
type follower struct {
	out       *log.Logger
	url       string
	client    *http.Client
	books     map[string]*book
	snapshots int
}

func (f *follower) follow(ctx context.Context) (client.Stats, error) {
	sub, err := client.Subscribe(ctx, f.feed(), f.options())
	if err != nil {
		return client.Stats{}, err
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err == nil {
			err = f.take(ev)
		}
		if err != nil {
			return client.Stats{}, err
		}
	}
	return sub.Stats(), nil
}

// take applies a snapshot or an update to its book.
func (f *follower) take(ev client.Event) error {
	if ev.Type == "snapshot" {
		b, err := decode.JSON[book](ev.Data)
		f.books[b.Product] = &b
		f.snapshots++
		return err
	}
	u, err := decode.JSON[update](ev.Data)
	if err != nil {
		return err
	}
	b := f.books[u.Product]
	if b == nil || u.Sequence != b.Sequence+1 {
		return fmt.Errorf("%s: update %d is not the next one", u.Product, u.Sequence)
	}
	b.apply(u)
	return nil
}

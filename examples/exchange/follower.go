package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// sequence returns the number of an update, so that a missing one is detected.
func sequence(ev client.Event) (product string, n uint64, ok bool) {
	u, err := decode.JSON[update](ev.Data)
	return u.Product, u.Sequence, err == nil
}

func (f *follower) options() *client.Options {
	return &client.Options{
		Dedupe:     1024,
		SequenceOf: sequence,
		Trace:      f.trace(),
		Retry:      retry.Constant(50 * time.Millisecond), // for the example; omit it
	}
}

func (f *follower) trace() *client.Trace {
	return &client.Trace{
		Connected: func(client.ConnectInfo) { f.out.Print("connected and subscribed") },
		Disconnected: func(d client.DisconnectInfo) {
			if !d.Final {
				f.out.Printf("lost: %s; again in %v", why(d.Err), d.Delay.Round(time.Millisecond))
			}
		},
	}
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
		if err != nil {
			return client.Stats{}, err
		}
		u, err := decode.JSON[update](ev.Data)
		if err != nil {
			return client.Stats{}, err
		}
		if err := f.take(ctx, u, ev.Gap); err != nil {
			return client.Stats{}, err
		}
	}
	return sub.Stats(), nil
}

// take applies an update to its book. If several products have missed updates, each gets its
// own Gap, as soon as its number skips.
func (f *follower) take(ctx context.Context, u update, gap *client.Gap) error {
	b := f.books[u.Product]
	if b == nil || gap != nil {
		var err error
		if b, err = f.snapshot(ctx, u.Product, u.Sequence-1); err != nil {
			return err
		}
		f.books[u.Product] = b
		f.out.Printf("%s: update %d, %s: snapshot of %d", u.Product, u.Sequence, reason(gap), b.Sequence)
	}
	switch {
	case u.Sequence <= b.Sequence: // already in the snapshot
	case u.Sequence > b.Sequence+1:
		return fmt.Errorf("%s: update %d follows on %d without a gap", u.Product, u.Sequence, b.Sequence)
	default:
		b.apply(u)
	}
	return nil
}

func reason(gap *client.Gap) string {
	switch {
	case gap == nil:
		return "the first"
	case gap.Missed > 0:
		return fmt.Sprintf("%d missed (%s)", gap.Missed, gap.Reason)
	}
	return string(gap.Reason)
}

// snapshot fetches a book until it is not older than after. Meanwhile the buffer of the
// subscription holds the feed.
func (f *follower) snapshot(ctx context.Context, product string, after uint64) (*book, error) {
	for {
		f.snapshots++
		b, err := f.fetch(ctx, product)
		if err != nil || b.Sequence >= after {
			return b, err
		}
		select {
		case <-time.After(tick):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (f *follower) fetch(ctx context.Context, product string) (*book, error) {
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
	b := new(book)
	return b, json.NewDecoder(resp.Body).Decode(b)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/channel"
)

// Limits of a connection, and the format of messages:
// https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
const maxStreams = 1024

// The exchange accepts five messages a second, with pings and pongs.
var sendRate = transport.Rate{N: 5, Per: time.Second}

// Markets are the client's side of the exchange.
type markets struct {
	url    string
	client *http.Client
}

func (m *markets) mux() *channel.Mux {
	return &channel.Mux{
		Socket: &transport.WebSocket{
			URL: m.url + "/stream", Client: m.client, OnMessage: onSocket,
			SendRate: sendRate, MaxConnectionAge: 23 * time.Hour,
		},
		Subscribe:   request("SUBSCRIBE"),
		Unsubscribe: request("UNSUBSCRIBE"),
		OnMessage:   onMessage,
		Batch:       200,
		MaxChannels: maxStreams,
	}
}

func request(method string) func(int64, []channel.Request) ([]byte, error) {
	return func(id int64, channels []channel.Request) ([]byte, error) {
		streams := make([]string, len(channels))
		for i, c := range channels {
			streams[i] = c.Name
		}
		return json.Marshal(map[string]any{"method": method, "params": streams, "id": id})
	}
}

// A message is an event of a stream or the reply to a request.
type message struct {
	Stream string
	Data   json.RawMessage
	ID     int64
	Error  *apiError
}

// An apiError is the reason of a refusal.
type apiError struct {
	Code int
	Msg  string
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Msg, e.Code) }

// Retryable reports whether the same request may succeed later. An invalid one (2) may not.
func (e *apiError) Retryable() bool { return e.Code != 2 }

// onSocket handles what concerns the connection.
func onSocket(s *transport.Socket, m *transport.Message) error {
	if decode.Field(m.Data, "stream") == "!serverShutdown" {
		s.Replace()
		m.Kind = decode.KindKeepalive
	}
	return nil
}

// onMessage handles what concerns the channels.
func onMessage(r *channel.Router, m *transport.Message) error {
	v, err := decode.JSON[message](m.Data)
	switch {
	case err != nil:
		return err
	case v.Stream != "":
		r.Deliver(v.Stream, transport.Message{Data: v.Data})
	case v.ID != 0 && v.Error != nil:
		r.Reply(v.ID, v.Error)
	case v.ID != 0:
		r.Reply(v.ID, nil)
	case v.Error != nil:
		return v.Error
	}
	return nil
}

// A trade has a number that is one above the previous one of its market.
type trade struct {
	ID    uint64 `json:"t"`
	Price string `json:"p"`
}

// follow reads n trades of a market, and returns an error unless each follows the one before.
func (m *markets) follow(ctx context.Context, mux *channel.Mux, symbol string, n int) error {
	f := &follower{markets: m, symbol: symbol}
	sub, err := client.Subscribe(ctx, mux.Channel(strings.ToLower(symbol)+"@trade"), &client.Options{
		SequenceOf: f.sequence, Backfill: f.backfill,
	})
	if err != nil {
		return err
	}
	defer sub.Close()
	last := uint64(0)
	for ev, err := range sub.Events() {
		if err != nil {
			return err
		}
		t, err := decode.JSON[trade](ev.Data)
		if err != nil {
			return err
		}
		if last > 0 && t.ID != last+1 || ev.Gap != nil {
			return fmt.Errorf("trade %d after %d, gap %v", t.ID, last, ev.Gap)
		}
		if last = t.ID; n == 1 {
			return nil
		}
		n--
	}
	return errors.New("the market has ended")
}

// A follower is used by one subscription.
type follower struct {
	*markets
	symbol string
	last   uint64 // the last trade that sequence has seen
}

func (f *follower) sequence(ev client.Event) (string, uint64, bool) {
	t, err := decode.JSON[trade](ev.Data)
	f.last = max(f.last, t.ID)
	return "", t.ID, err == nil
}

// backfill fetches the trades that were made while the channel was not open. It is called once the
// channel is open again, so that no trade is between the two.
func (f *follower) backfill(ctx context.Context, gap client.Gap, deliver func(transport.Message) error) (string, error) {
	if f.last == 0 {
		return "", nil // begin with the next trade
	}
	from := f.last
	if gap.Reason == transport.GapSequence { // last is the trade that has revealed the jump, and stays it
		from -= min(from, gap.Missed+1)
	}
	for {
		all, err := f.fetch(ctx, from+1) // a page
		if err != nil || len(all) == 0 {
			return "", err
		}
		for _, data := range all {
			if err := deliver(transport.Message{Data: data}); err != nil {
				return "", err
			}
		}
		from += uint64(len(all)) // there is a trade of each number
	}
}

func (f *follower) fetch(ctx context.Context, from uint64) ([]json.RawMessage, error) {
	url := fmt.Sprintf("%s/api/v3/historicalTrades?symbol=%s&fromId=%d", f.url, f.symbol, from)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("historicalTrades: " + resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	list, err := decode.JSON[[]struct {
		ID    uint64 `json:"id"`
		Price string `json:"price"`
	}](body)
	var all []json.RawMessage
	for _, t := range list { // in the format of the stream
		text, _ := json.Marshal(trade{t.ID, t.Price})
		all = append(all, text)
	}
	return all, err
}

package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/channel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNoTradeIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := mock.NewServer(newExchange())
		defer func() {
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
		}()
		var out strings.Builder
		if err := run(t.Context(), &out, srv.URL, srv.Client()); err != nil {
			t.Fatal(err)
		}
		const want = `BTCUSDT: no trade is missing
NOSUCH: refused: Invalid request: unknown symbol (2)
ETHUSDT: no trade is missing
BNBUSDT: no trade is missing

The connection was replaced, and no channel is left.
`
		if out.String() != want {
			t.Errorf("got\n%s\nwant\n%s", &out, want)
		}
	})
}

// A trade that is missing and cannot be fetched is noticed, or the example would prove nothing.
func TestLossIsNoticed(t *testing.T) {
	for _, loses := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			x := newExchange()
			x.forgets = true
			srv := mock.NewServer(x)
			defer srv.Close()
			m := &markets{url: srv.URL, client: srv.Client()}
			mux := m.mux()
			deliver := mux.OnMessage
			n := 0
			mux.OnMessage = func(r *channel.Router, msg *transport.Message) error {
				if n++; n == 5 && loses {
					return nil
				}
				return deliver(r, msg)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := m.follow(ctx, mux, "BTCUSDT", 8); (err != nil) != loses {
				t.Errorf("a trade is lost: %t: got the error %v", loses, err)
			}
		})
	}
}

func FuzzOnMessage(f *testing.F) {
	for _, seed := range []string{
		`{"result":null,"id":1}`, `{"error":{"code":2,"msg":"Invalid request"},"id":1}`, `{"error":{"code":1,"msg":"down"}}`,
		`{"stream":"btcusdt@trade","data":{"e":"trade","t":1,"p":"1"}}`, `{"stream":"!serverShutdown"}`, `[]`, `{`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := transport.Message{Data: []byte(text)}
		if !strings.Contains(text, "serverShutdown") {
			if err := onSocket(nil, &m); err != nil {
				t.Error(err)
			}
		}
		synctest.Test(t, func(t *testing.T) { channelOf(t, text) })
	})
}

// channelOf lets a Mux read text.
func channelOf(t *testing.T, text string) {
	srv := mock.NewServer(newExchange())
	defer srv.Close()
	m := &markets{url: srv.URL, client: srv.Client()}
	mux := m.mux()
	mux.Socket.(*transport.WebSocket).OnMessage = func(_ *transport.Socket, m *transport.Message) error {
		m.Data = []byte(text)
		return nil
	}
	mux.AckTimeout = tick
	if s, err := mux.Channel("btcusdt@trade").Open(t.Context(), ""); err == nil {
		s.Close()
	}
}

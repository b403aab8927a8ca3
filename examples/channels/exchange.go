package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	tick = 10 * time.Millisecond // between two trades of a market
	page = 20                    // trades in one answer; 500 at Binance
)

// An exchange makes trades all the time. It cuts the first connection, and announces its restart on
// the second.
type exchange struct {
	start   time.Time
	symbols []string
	forgets bool // the list of trades is empty

	mu          sync.Mutex
	connections int
}

func newExchange() *exchange {
	return &exchange{start: time.Now(), symbols: []string{"BTCUSDT", "ETHUSDT", "BNBUSDT"}}
}

// now returns the number of the last trade of each market.
func (x *exchange) now() uint64 { return 1000 + uint64(time.Since(x.start)/tick) }

func (x *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/stream" {
		x.stream(w, r)
		return
	}
	type item struct {
		ID    uint64 `json:"id"`
		Price string `json:"price"`
	}
	from, _ := strconv.ParseUint(r.URL.Query().Get("fromId"), 10, 64)
	all := []item{}
	for id := from; id <= x.now() && len(all) < page && !x.forgets; id++ {
		all = append(all, item{id, "1.00"})
	}
	json.NewEncoder(w).Encode(all)
}

func (x *exchange) stream(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	x.mu.Lock()
	x.connections++
	c := &connection{exchange: x, ws: ws, number: x.connections}
	x.mu.Unlock()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var group sync.WaitGroup
	defer group.Wait()
	defer ws.CloseNow()
	defer cancel()
	group.Go(func() { c.trade(ctx) })
	for {
		_, text, err := ws.Read(ctx)
		if err != nil {
			return
		}
		c.handle(ctx, text)
	}
}

// A connection is that of one client.
type connection struct {
	exchange *exchange
	ws       *websocket.Conn
	number   int

	mu      sync.Mutex
	streams []string
}

func (c *connection) handle(ctx context.Context, text []byte) {
	var q struct {
		Method string
		Params []string
		ID     int64
	}
	json.Unmarshal(text, &q)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range q.Params {
		symbol, _, _ := strings.Cut(strings.ToUpper(name), "@")
		switch {
		case !slices.Contains(c.exchange.symbols, symbol):
			c.write(ctx, map[string]any{"error": map[string]any{"code": 2, "msg": "Invalid request: unknown symbol"}, "id": q.ID})
			return
		case q.Method == "UNSUBSCRIBE":
			c.streams = slices.DeleteFunc(c.streams, func(s string) bool { return s == name })
		case !slices.Contains(c.streams, name):
			c.streams = append(c.streams, name)
		}
	}
	c.write(ctx, map[string]any{"result": nil, "id": q.ID})
}

// trade sends what happens, until the connection ends.
func (c *connection) trade(ctx context.Context) {
	last := c.exchange.now()
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-time.After(tick):
		case <-ctx.Done():
			return
		}
		switch {
		case c.number == 1 && n == 15:
			c.ws.CloseNow()
			return
		case c.number == 2 && n == 15:
			c.write(ctx, map[string]any{"stream": "!serverShutdown", "data": map[string]any{"e": "serverShutdown"}})
		}
		c.mu.Lock()
		for now := c.exchange.now(); last < now; {
			last++
			for _, name := range c.streams {
				c.write(ctx, map[string]any{"stream": name, "data": map[string]any{"e": "trade", "t": last, "p": fmt.Sprint(1.00)}})
			}
		}
		c.mu.Unlock()
	}
}

func (c *connection) write(ctx context.Context, v any) {
	text, _ := json.Marshal(v)
	c.ws.Write(ctx, websocket.MessageText, text)
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	tick      = 20 * time.Millisecond  // between updates
	heartbeat = 100 * time.Millisecond // in a quiet market; a real exchange has 1 s
)

var products = []string{"BTC-USD", "ETH-USD"}

// An exchange plays a market that continues while no client is connected, and whose feed
// misbehaves in a different way on each connection.
type exchange struct {
	mux         http.ServeMux
	mu          sync.Mutex
	connections int
	trades      int
	books       map[string]*book
	cache       map[string]*book // the next snapshot
}

func newExchange() *exchange {
	x := &exchange{books: make(map[string]*book), cache: make(map[string]*book)}
	for _, p := range products {
		x.books[p] = &book{Product: p, Sizes: make(map[string]int)}
	}
	x.mux.HandleFunc("/feed", x.feed)
	x.mux.HandleFunc("GET /snapshot", x.snapshot)
	return x
}

func (x *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) { x.mux.ServeHTTP(w, r) }

// trade makes an update, for each product in turn.
func (x *exchange) trade() update {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.books[products[x.trades%len(products)]]
	u := update{
		Product: products[x.trades%len(products)], Sequence: b.Sequence + 1,
		Price: fmt.Sprint(100 + rand.N(20)), Size: rand.N(5),
	}
	b.apply(u)
	x.trades++
	return u
}

// snapshot answers with the book as it was at the previous request, as a cache would.
func (x *exchange) snapshot(w http.ResponseWriter, r *http.Request) {
	answer := x.cached(r.URL.Query().Get("product"))
	if answer == nil {
		http.NotFound(w, r)
		return
	}
	json.NewEncoder(w).Encode(answer)
}

// cached returns the book as it was at the previous call, nil for an unknown product.
func (x *exchange) cached(product string) *book {
	x.mu.Lock()
	defer x.mu.Unlock()
	now, before := x.books[product], x.cache[product]
	if now == nil {
		return nil
	}
	x.cache[product] = now.clone()
	if before == nil {
		return x.cache[product]
	}
	return before
}

// verify compares books with those of the exchange.
func (x *exchange) verify(books map[string]*book) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for product, b := range x.books {
		if !b.equal(books[product]) {
			return fmt.Errorf("the book of %s differs from that of the exchange", product)
		}
	}
	return nil
}

func (x *exchange) feed(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	var want request
	if _, text, err := c.Read(r.Context()); err != nil || json.Unmarshal(text, &want) != nil || want.Type != "subscribe" {
		return
	}
	x.mu.Lock()
	x.connections++
	n := x.connections
	x.mu.Unlock()
	ctx := c.CloseRead(r.Context()) // ends with the connection
	x.play(n, &channel{x, ctx, c})
}

// play runs the n-th connection.
func (x *exchange) play(n int, c *channel) {
	switch n {
	case 1:
		c.write(map[string]any{"type": "subscriptions", "products": products})
		c.updates(10)
		c.quiet(10) // heartbeats keep the connection
		c.updates(10)
		x.miss(5) // the exchange is busy and drops some
		c.updates(10)
	case 2:
		c.write(map[string]any{"type": "error", "message": "in maintenance"})
	case 3:
		x.miss(7)    // while no client was connected
		c.updates(2) // before the acknowledgement, as some exchanges do
		c.write(map[string]any{"type": "subscriptions", "products": products})
		c.updates(10)
		<-c.ctx.Done() // silence, and not even a heartbeat
	default:
		x.miss(4)
		c.write(map[string]any{"type": "subscriptions", "products": products})
		c.updates(11)
		x.miss(1)
		c.updates(20)
		c.write(map[string]any{"type": "closed"})
		<-c.ctx.Done()
	}
}

func (x *exchange) miss(n int) {
	for range n {
		x.trade()
	}
}

// A channel is the connection of one client.
type channel struct {
	exchange *exchange
	ctx      context.Context
	conn     *websocket.Conn
}

// updates sends n updates, every fifth one twice.
func (c *channel) updates(n int) {
	for i := range n {
		u := c.exchange.trade()
		m := map[string]any{"type": "update", "product": u.Product, "sequence": u.Sequence, "price": u.Price, "size": u.Size}
		c.write(m)
		if i%5 == 0 {
			c.write(m)
		}
		c.wait(tick)
	}
}

// quiet sends n heartbeats.
func (c *channel) quiet(n int) {
	for range n {
		c.wait(heartbeat)
		c.write(map[string]any{"type": "heartbeat"})
	}
}

func (c *channel) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.ctx.Done():
	}
}

func (c *channel) write(m map[string]any) {
	text, err := json.Marshal(m)
	if err == nil {
		c.conn.Write(c.ctx, websocket.MessageText, text)
	}
}

// Command channels follows trades of an exchange over one WebSocket, in the message format of
// Binance. Markets are added and removed while it runs, and one that does not exist fails alone.
//
// The program plays the exchange itself, which cuts the connection and announces a restart. No trade
// is missing, because what happens meanwhile is fetched.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"

	"github.com/steadfeed/steadfeed/transport/channel"
)

func main() {
	log.SetFlags(0)
	srv := httptest.NewServer(newExchange())
	err := run(context.Background(), os.Stdout, srv.URL, http.DefaultClient)
	srv.Close()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer, url string, c *http.Client) error {
	m := &markets{url: url, client: c}
	mux := m.mux()
	var group sync.WaitGroup
	results := make([]string, 4)
	follow := func(i int, symbol string, trades int) {
		group.Go(func() { results[i] = summary(symbol, m.follow(ctx, mux, symbol, trades)) })
	}
	follow(0, "BTCUSDT", 60)
	follow(1, "NOSUCH", 1)
	if err := m.follow(ctx, mux, "ETHUSDT", 20); err != nil { // and its channel is removed
		return err
	}
	results[2] = summary("ETHUSDT", nil)
	follow(3, "BNBUSDT", 20)
	group.Wait()
	fmt.Fprintln(out, strings.Join(results, "\n"))
	s := mux.Stats()
	if s.Connections < 2 || s.Channels > 0 {
		return fmt.Errorf("got %d connections and %d channels left", s.Connections, s.Channels)
	}
	fmt.Fprintln(out, "\nThe connection was replaced, and no channel is left.")
	return nil
}

func summary(symbol string, err error) string {
	var refused *channel.Error
	switch {
	case errors.As(err, &refused) && refused.Op == "refused":
		return symbol + ": refused: " + refused.Err.Error()
	case err != nil:
		return symbol + ": " + err.Error()
	}
	return symbol + ": no trade is missing"
}

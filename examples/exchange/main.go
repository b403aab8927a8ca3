// Command exchange keeps the order books of an exchange from its feed: a WebSocket without
// positions, so that a snapshot must replace whatever is missed.
//
// The program plays the exchange itself, which drops updates, repeats some, cuts the
// connection, is in maintenance, and falls silent. The books are correct in the end.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
)

func main() {
	log.SetFlags(0)
	x := newExchange()
	srv := httptest.NewServer(x)
	err := run(context.Background(), os.Stdout, x, srv.URL, http.DefaultClient)
	srv.Close()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer, x *exchange, url string, c *http.Client) error {
	f := &follower{out: log.New(out, "", 0), url: url, client: c, books: make(map[string]*book)}
	stats, err := f.follow(ctx)
	if err != nil {
		return err
	}
	if err := x.verify(f.books); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d updates and %d snapshots over %d connections, %d gaps closed, %d duplicates dropped\n",
		stats.Acked-uint64(f.snapshots), f.snapshots, stats.Connections, stats.Gaps, stats.Duplicates)
	fmt.Fprintln(out, "The books match those of the exchange.")
	return nil
}

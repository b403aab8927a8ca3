// Command gateway is a bot on a gateway like Discord's: it resumes sessions, answers
// heartbeats, and keeps its position in a file across restarts.
//
// The program plays the gateway itself, which asks for a reconnect, falls silent, cuts the
// connection, and once forgets the session. Only then are messages lost, and the bot reports
// it.
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
	if err := play(); err != nil {
		log.Fatal(err)
	}
}

func play() error {
	dir, err := os.MkdirTemp("", "gateway")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	srv := httptest.NewServer(newGateway())
	defer srv.Close()
	return run(context.Background(), os.Stdout, srv.URL, dir, nil)
}

// run starts the bot twice.
func run(ctx context.Context, out io.Writer, url, dir string, c *http.Client) error {
	d := newDiary(out)
	for _, until := range []string{textRestart, textGoodNight} {
		d.out.Printf("the bot starts")
		b := &bot{url: url, credentials: credentials, client: c, diary: d}
		if err := b.work(ctx, dir, until); err != nil {
			return err
		}
		d.out.Printf("%q: the bot stops", until)
	}
	fmt.Fprintf(out, "\n%d messages, %d missing, all reported\n", d.messages, d.missing)
	return nil
}

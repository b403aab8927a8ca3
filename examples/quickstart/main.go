// Quickstart subscribes to a feed that misbehaves, and loses nothing.
//
// It starts the feed itself, on 127.0.0.1, and keeps its position in a file. When you run it
// again, it resumes where it stopped, with the events sent in between.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

func main() {
	log.SetFlags(0)
	length := flag.Duration("for", 10*time.Second, "how long to run")
	dir := flag.String("dir", filepath.Join(os.TempDir(), "steadfeed-quickstart"), "folder of the checkpoint")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *dir, *length); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer, dir string, length time.Duration) error {
	feed, err := startFeed()
	if err != nil {
		return err
	}
	defer feed.stop()
	return follow(ctx, &transport.HTTP{
		URL:         feed.url,
		IdleTimeout: time.Second, // the feed sends something every 200 ms
	}, w, dir, length)
}

// follow prints what the feed sends, until the time is up.
func follow(ctx context.Context, feed transport.Transport, w io.Writer, dir string, length time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, length, errTimeIsUp)
	defer cancel()
	out := newScreen(w, dir)
	sub, err := client.Subscribe(ctx, feed, &client.Options{
		Name:  "quickstart",
		Store: client.FileStore(dir),
		Trace: out.trace(),
	})
	if err != nil {
		return err
	}
	for ev, err := range sub.Events() {
		if errors.Is(err, errTimeIsUp) || errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(ev.ID, 10, 64)
		if err != nil {
			return fmt.Errorf("event with the id %q: %w", ev.ID, err)
		}
		out.event(n, ev)
	}
	err = sub.Close() // saves the position
	out.summary(sub.Stats())
	return err
}

var errTimeIsUp = errors.New("time is up")

// Command centrifugo subscribes to channels of Centrifugo over one connection, each with its own
// position.
//
// The program runs the server itself, Centrifugo's library. The server drops the connection, ends
// channels, refuses one, and restarts without its history, which is the one loss that is reported.
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
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport/channel"
)

func main() {
	log.SetFlags(0)
	s, err := newServer()
	if err != nil {
		log.Fatal(err)
	}
	web := httptest.NewServer(s)
	err = run(context.Background(), os.Stdout, s, "ws"+web.URL[len("http"):], nil)
	s.instance.Load().stop()
	web.Close()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer, s *server, url string, c *http.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	mux := newMux(url, c, tokens())
	mux.Retry = soon
	subscribed := make(chan struct{}, 100) // once for each time that a channel is
	news, err := open(ctx, mux, "news", subscribed)
	if err != nil {
		return err
	}
	defer news.Close()
	private, err := open(ctx, mux, "private", subscribed)
	if err != nil {
		return err
	}
	defer private.Close()
	for i, step := range []struct {
		what  string
		do    func() error
		again int  // channels that are subscribed to again
		lost  bool // the history
	}{
		{"live", func() error { return nil }, 2, false},
		{"connection dropped", s.disconnect, 2, false},
		{"channel ended with code 2500", func() error { return s.unsubscribe("news", 2500) }, 1, false},
		{"channel ended with code 2500 again", func() error { return s.unsubscribe("news", 2500) }, 1, false},
		{"restarted without history", s.restart, 2, true},
	} {
		if err := step.do(); err != nil {
			return err
		}
		if step.lost { // what is published before that is lost
			await(ctx, subscribed, step.again)
		}
		first := 3*i + 1
		for _, name := range []string{"news", "private"} {
			if err := s.publish(name, first, first+2); err != nil {
				return err
			}
		}
		for _, sub := range []*client.Subscription{news, private} {
			if err := expect(ctx, sub, first, step.lost); err != nil {
				return fmt.Errorf("%s: %w", step.what, err)
			}
		}
		if !step.lost {
			await(ctx, subscribed, step.again)
		}
		fmt.Fprintf(out, "%s: each channel got %d to %d\n", step.what, first, first+2)
	}
	if err := s.unsubscribe("news", 2000); err != nil {
		return err
	}
	fmt.Fprintln(out, "channel ended with code 2000:", reason(ctx, news))
	forbidden, err := client.Subscribe(ctx, mux.Channel("forbidden"), nil)
	if err != nil {
		return err
	}
	defer forbidden.Close()
	fmt.Fprintln(out, "forbidden:", reason(ctx, forbidden))
	return nil
}

// soon has short delays, for the example; omit it.
var soon = retry.Policy{Reconnect: 20 * time.Millisecond, Base: 20 * time.Millisecond, Cap: 100 * time.Millisecond}

func open(ctx context.Context, mux *channel.Mux, name string, subscribed chan<- struct{}) (*client.Subscription, error) {
	sub, err := client.Subscribe(ctx, mux.Channel(name), &client.Options{
		Retry: soon,
		Trace: &client.Trace{Connected: func(client.ConnectInfo) { subscribed <- struct{}{} }},
	})
	if err != nil {
		return nil, err
	}
	if err := sub.WaitConnected(ctx); err != nil {
		sub.Close()
		return nil, err
	}
	return sub, nil
}

// await waits until n channels are subscribed to.
func await(ctx context.Context, subscribed <-chan struct{}, n int) {
	for range n {
		select {
		case <-subscribed:
		case <-ctx.Done():
		}
	}
}

// tokens returns the source of the tokens of channels. The first one has expired.
func tokens() func(context.Context, string) (string, error) {
	token := "old"
	return func(_ context.Context, name string) (string, error) {
		if name != "private" {
			return "", nil
		}
		t := token
		token = "fresh" // yours asks the issuer
		return t, nil
	}
}

// expect reads three numbers. After a loss, the first one has a Gap.
func expect(ctx context.Context, sub *client.Subscription, first int, lost bool) error {
	for i := first; i < first+3; i++ {
		ev, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		ev.Ack()
		if string(ev.Data) != fmt.Sprint(i) || (ev.Gap != nil) != (lost && i == first) {
			return fmt.Errorf("got %s with gap %v, want %d", ev.Data, ev.Gap, i)
		}
	}
	return nil
}

// reason returns why a channel has ended.
func reason(ctx context.Context, sub *client.Subscription) error {
	_, err := sub.Next(ctx)
	var failed *channel.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

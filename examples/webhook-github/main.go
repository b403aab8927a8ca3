// Command webhook-github receives GitHub's webhooks in a worker that already has a mux, and
// answers each delivery once its work is done.
//
// The program plays GitHub itself: it sends a push, the same push again, a forged one, and one
// whose work fails the first time.
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
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const secret = "the secret of the webhook" // from the settings of the repository

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer) error {
	out := log.New(w, "", 0)
	hook := &webhook.Receiver{Provider: provider.GitHub(secret)}
	sub, err := client.Subscribe(ctx, hook, nil)
	if err != nil {
		return err
	}
	defer sub.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("/hooks/github", hook)
	srv := httptest.NewServer(mux) // yours is an http.Server with a ReadHeaderTimeout
	defer srv.Close()

	if err := sub.WaitConnected(ctx); err != nil { // until then, the receiver answers 503
		return err
	}

	sent := make(chan error, 1)
	go func() {
		sent <- playGitHub(ctx, out, srv.URL+"/hooks/github", srv.Client())
		hook.Drain() // ends the call below
	}()
	err = sub.Process(ctx, func(ctx context.Context, ev client.Event) error {
		return work(out, ev) // nil answers GitHub with 204, an error with 503, which its page shows
	}, nil)
	return errors.Join(err, <-sent)
}

// work stands for a task that takes time and may fail.
func work(out *log.Logger, ev client.Event) error {
	out.Printf("   %s %s: %s", ev.Type, ev.ID, ev.Data)
	if ev.ID == "delivery-3" && ev.Attempt == 1 {
		return errors.New("the database is unreachable")
	}
	time.Sleep(50 * time.Millisecond)
	return nil
}

// playGitHub sends what GitHub would.
func playGitHub(ctx context.Context, out *log.Logger, url string, web *http.Client) error {
	github := &sender.Client{Provider: provider.GitHub(secret), URL: url, Client: web}
	forger := &sender.Client{Provider: provider.GitHub("a guess"), URL: url, Client: web}
	for _, d := range []struct {
		what string
		from *sender.Client
		id   string
	}{
		{"a push", github, "delivery-1"},
		{"the same push again", github, "delivery-1"},
		{"a push that is forged", forger, "delivery-2"},
		{"a push whose work fails", github, "delivery-3"},
		{"the failed push, redelivered", github, "delivery-3"},
	} {
		sent, err := d.from.Post(ctx, sender.Delivery{
			ID: d.id, Body: []byte(`{"ref":"refs/heads/main"}`), Header: http.Header{"X-Github-Event": {"push"}},
		})
		if err := errors.Join(err, sent.Err); err != nil {
			return err
		}
		out.Printf("%s: %d %s", d.what, sent.Status, http.StatusText(sent.Status))
	}
	return nil
}

// Command webhook-fleet receives the webhooks of several providers on the built-in listener,
// and handles them in one loop.
//
// The program plays the providers itself: each sends an event, and Slack first verifies the
// endpoint.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// senders returns the providers by path. Of two secrets the first is the new one: while a
// secret is replaced, both are valid.
func senders() map[string]*provider.Provider {
	return map[string]*provider.Provider{
		"/github": provider.GitHub("the new secret", "the old secret"),
		"/stripe": provider.Stripe("whsec_of_the_endpoint"),
		"/slack":  provider.Slack("the signing secret"),
		"/openai": provider.StandardWebhooks("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
	}
}

func run(ctx context.Context, w io.Writer) error {
	out := log.New(w, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0") // a free port; yours is fixed, in Addr
	if err != nil {
		return err
	}
	hook := &webhook.Receiver{
		Providers:  senders(),
		Listener:   l,
		OnRejected: func(e *webhook.RejectedError) { out.Println("   refused:", e) },
	}
	sub, err := client.Subscribe(ctx, hook, nil)
	if err != nil {
		return err
	}
	defer sub.Close()

	sent := make(chan error, 1)
	go func() {
		sent <- playSenders(ctx, out, "http://"+l.Addr().String())
		hook.Drain() // ends the loop below, once all deliveries are handled
	}()
	for ev, err := range sub.Events() {
		if err != nil {
			return err
		}
		out.Printf("   %s sent %s, %s", ev.Delivery.Provider, ev.Type, ev.ID)
	}
	return <-sent
}

// playSenders sends what the providers would.
func playSenders(ctx context.Context, out *log.Logger, base string) error {
	web := &http.Client{Transport: &http.Transport{}}
	defer web.CloseIdleConnections()
	all := senders()
	all["/guess"] = provider.Stripe("whsec_of_another_endpoint")
	for _, d := range []struct {
		from, path string
		delivery   sender.Delivery
	}{
		{"/slack", "/slack", sender.Delivery{Body: []byte(`{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV"}`)}},
		{"/github", "/github", sender.Delivery{
			ID: "72d3162e", Header: http.Header{"X-Github-Event": {"push"}}, Body: []byte(`{"ref":"refs/heads/main"}`),
		}},
		{"/stripe", "/stripe", sender.Delivery{Body: []byte(`{"id":"evt_1","type":"charge.succeeded"}`)}},
		{"/guess", "/stripe", sender.Delivery{Body: []byte(`{"id":"evt_2","type":"charge.succeeded"}`)}},
		{"/slack", "/slack", sender.Delivery{Body: []byte(`{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}`)}},
		{"/openai", "/openai", sender.Delivery{ID: "wh_1", Body: []byte(`{"type":"response.completed"}`)}},
	} {
		sent, err := (&sender.Client{Provider: all[d.from], URL: base + d.path, Client: web}).Post(ctx, d.delivery)
		if err := errors.Join(err, sent.Err); err != nil {
			return err
		}
		answer := strings.TrimSpace(http.StatusText(sent.Status) + " " + string(sent.Body))
		out.Printf("POST %s: %d %s", d.path, sent.Status, answer)
	}
	return nil
}

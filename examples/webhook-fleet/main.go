// Command webhook-fleet receives the webhooks of several providers on the built-in listener,
// and handles them in one loop.
//
// The program plays the providers itself: each sends an event, and Slack first verifies the
// endpoint.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
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

func run(ctx context.Context, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0") // a free port; yours is fixed, in Addr
	if err != nil {
		return err
	}
	hook := &transport.Webhook{
		Providers: senders(),
		Listener:  l,
		OnRefused: func(e *transport.RefusedError) { fmt.Fprintln(out, "  ", e) },
	}
	sub, err := client.Subscribe(ctx, hook, nil)
	if err != nil {
		return err
	}
	defer sub.Close()

	sent := make(chan error, 1)
	go func() {
		sent <- playSenders(out, "http://"+l.Addr().String())
		hook.Drain() // ends the loop below, once all deliveries are handled
	}()
	for ev, err := range sub.Events() {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "   %s sent %s, %s\n", ev.Header.Get("Steadfeed-Provider"), ev.Type, ev.ID)
	}
	return <-sent
}

// playSenders sends what the providers would.
func playSenders(out io.Writer, base string) error {
	all := senders()
	all["/guess"] = provider.Stripe("whsec_of_another_endpoint")
	for _, d := range []struct{ sender, path, id, header, body string }{
		{"/slack", "/slack", "", "", `{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV"}`},
		{"/github", "/github", "72d3162e", "X-Github-Event: push", `{"ref":"refs/heads/main"}`},
		{"/stripe", "/stripe", "", "", `{"id":"evt_1","type":"charge.succeeded"}`},
		{"/guess", "/stripe", "", "", `{"id":"evt_2","type":"charge.succeeded"}`},
		{"/slack", "/slack", "", "", `{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}`},
		{"/openai", "/openai", "wh_1", "", `{"type":"response.completed"}`},
	} {
		r := provider.Request{
			Method: http.MethodPost, URL: base + d.path, Time: time.Now(),
			Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(d.body),
		}
		if name, value, ok := strings.Cut(d.header, ": "); ok {
			r.Header.Set(name, value)
		}
		if err := all[d.sender].Sign(&r, d.id); err != nil {
			return err
		}
		answer, err := send(&r)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "POST %s: %s\n", d.path, answer)
	}
	return nil
}

// send returns the status and the body of the response.
func send(d *provider.Request) (answer string, err error) {
	req, err := http.NewRequest(d.Method, d.URL, bytes.NewReader(d.Body))
	if err != nil {
		return "", err
	}
	req.Header = d.Header
	a, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	return strings.TrimSpace(a.Status + " " + string(body)), err
}

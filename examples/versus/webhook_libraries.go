package main

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	playground "github.com/go-playground/webhooks/v6/github"
	"github.com/google/go-github/v89/github"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	stripehook "github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A hook is one library that receives webhooks of one scheme.
type hook struct {
	scheme, library string
	// open returns a handler for net/http. take is called with the body of each accepted
	// request.
	open func(take func([]byte)) (h http.Handler, stop func() error, err error)
}

// floor is the library name of a handler that accepts everything and looks at nothing.
const floor = "net/http alone"

// byChannel is the library name of a handler that passes the webhook on and waits.
const byChannel = "by hand, over a channel"

// hooks returns all hooks; a scheme's floor comes first. "by hand" is the minimum for a program
// that verifies a signature, and "over a channel" the minimum for one that passes the webhook
// to another goroutine and answers after that has handled it.
func hooks() []hook {
	return []hook{
		{gitHub, floor, each(discard)},
		{gitHub, "steadfeed AckOnEnqueue", subscribed(webhook.AckOnEnqueue, gitHubProvider)},
		{gitHub, "steadfeed AckAfterHandling", subscribed(webhook.AckAfterHandling, gitHubProvider)},
		{gitHub, "io.ReadAll alone", each(readAll)},
		{gitHub, "by hand", each(byHand(gitHubSigned))},
		{gitHub, byChannel, overChannel(gitHubSigned)},
		{gitHub, "go-github", each(goGitHub)},
		{gitHub, "go-playground, to a struct", each(goPlayground())},
		{standard, floor, each(discard)},
		{standard, "steadfeed AckOnEnqueue", subscribed(webhook.AckOnEnqueue, standardProvider)},
		{standard, "steadfeed AckAfterHandling", subscribed(webhook.AckAfterHandling, standardProvider)},
		{standard, "by hand", each(byHand(standardSigned))},
		{standard, byChannel, overChannel(standardSigned)},
		{standard, "standard-webhooks", standardLibrary},
		{standard, "svix", svixLibrary},
		{stripeV1, floor, each(discard)},
		{stripeV1, "steadfeed AckOnEnqueue", subscribed(webhook.AckOnEnqueue, stripeProvider)},
		{stripeV1, "steadfeed AckAfterHandling", subscribed(webhook.AckAfterHandling, stripeProvider)},
		{stripeV1, "by hand", each(byHand(stripeSigned))},
		{stripeV1, byChannel, overChannel(stripeSigned)},
		{stripeV1, "stripe-go, to a struct", each(stripeGo)},
		{cloudEvents, floor, each(discard)},
		{cloudEvents, "steadfeed AckOnEnqueue", subscribed(webhook.AckOnEnqueue, cloudEventsProvider)},
		{cloudEvents, "steadfeed AckAfterHandling", subscribed(webhook.AckAfterHandling, cloudEventsProvider)},
		{cloudEvents, "cloudevents, unverified", each(cloudEventsSDK)},
	}
}

func gitHubProvider() *provider.Provider   { return provider.GitHub(hookSecret) }
func standardProvider() *provider.Provider { return provider.StandardWebhooks(hookSecret64) }
func stripeProvider() *provider.Provider   { return provider.Stripe(hookSecret) }
func cloudEventsProvider() *provider.Provider {
	return provider.CloudEvents(nil, url.QueryEscape(hookSecret))
}

// subscribed is a Receiver in the server's mux, and a loop that takes the events.
func subscribed(ack webhook.AckMode, of func() *provider.Provider) func(take func([]byte)) (http.Handler, func() error, error) {
	return func(take func([]byte)) (http.Handler, func() error, error) {
		h := &webhook.Receiver{Provider: of(), Ack: ack}
		open := make(chan struct{}, 1)
		sub, err := client.Subscribe(context.Background(), h, &client.Options{
			Trace: &client.Trace{Connected: func(client.ConnectInfo) { open <- struct{}{} }},
		})
		if err != nil {
			return nil, nil, err
		}
		failed := make(chan error, 1)
		go func() {
			for ev, err := range sub.Events() {
				if err != nil {
					failed <- err
					break
				}
				take(ev.Data)
			}
			close(failed)
		}()
		select {
		case <-open:
		case err := <-failed:
			return nil, nil, errors.Join(err, sub.Close())
		}
		return h, func() error { return errors.Join(sub.Close(), <-failed) }, nil
	}
}

// each returns a handler that verifies each request and answers it.
func each(verify func(r *http.Request) ([]byte, error)) func(take func([]byte)) (http.Handler, func() error, error) {
	return func(take func([]byte)) (http.Handler, func() error, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := verify(r)
			if err != nil {
				http.Error(w, "refused", http.StatusUnauthorized)
				return
			}
			take(body)
			w.WriteHeader(http.StatusNoContent)
		}), func() error { return nil }, nil
	}
}

// overChannel is a loop over a channel of webhooks that are verified by hand.
func overChannel(signed signedFunc) func(take func([]byte)) (http.Handler, func() error, error) {
	type handed struct {
		body []byte
		done chan struct{}
	}
	return func(take func([]byte)) (http.Handler, func() error, error) {
		channel := make(chan handed)
		var loop sync.WaitGroup
		loop.Go(func() {
			for h := range channel {
				take(h.body)
				close(h.done)
			}
		})
		h, _, err := each(byHand(signed))(func(body []byte) {
			h := handed{body, make(chan struct{})}
			channel <- h
			<-h.done
		})
		return h, func() error { close(channel); loop.Wait(); return nil }, err
	}
}

func discard(r *http.Request) ([]byte, error) {
	_, err := io.Copy(io.Discard, r.Body)
	return nil, err
}

func readAll(r *http.Request) ([]byte, error) { return io.ReadAll(r.Body) }

// A signedFunc returns the signature in a request's headers and the one that it must be.
type signedFunc func(h http.Header, body []byte) (got, want []byte, err error)

// byHand does only what the sender's documentation describes.
func byHand(signed signedFunc) func(r *http.Request) ([]byte, error) {
	return func(r *http.Request) ([]byte, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		got, want, err := signed(r.Header, body)
		if err == nil && !hmac.Equal(got, want) {
			err = errors.New("forged")
		}
		return body, err
	}
}

func gitHubSigned(h http.Header, body []byte) (got, want []byte, err error) {
	text, _ := strings.CutPrefix(h.Get("X-Hub-Signature-256"), "sha256=")
	got, err = hex.DecodeString(text)
	return got, mac(body), err
}

func standardSigned(h http.Header, body []byte) (got, want []byte, err error) {
	text, _ := strings.CutPrefix(h.Get("Webhook-Signature"), "v1,")
	sent := h.Get("Webhook-Timestamp")
	if err := isRecent(sent); err != nil {
		return nil, nil, err
	}
	got, err = base64.StdEncoding.DecodeString(text)
	return got, mac([]byte(h.Get("Webhook-Id")+"."+sent+"."), body), err
}

func stripeSigned(h http.Header, body []byte) (got, want []byte, err error) {
	var sent, text string
	for part := range strings.SplitSeq(h.Get("Stripe-Signature"), ",") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "t":
			sent = value
		case "v1":
			text = value
		}
	}
	if err := isRecent(sent); err != nil {
		return nil, nil, err
	}
	got, err = hex.DecodeString(text)
	return got, mac([]byte(sent+"."), body), err
}

func isRecent(unix string) error {
	seconds, err := strconv.ParseInt(unix, 10, 64)
	if err == nil && time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		err = errors.New("too old")
	}
	return err
}

func goGitHub(r *http.Request) ([]byte, error) {
	return github.ValidatePayload(r, []byte(hookSecret))
}

// goPlayground decodes into the library's own type, so there are no bytes to deliver.
func goPlayground() func(*http.Request) ([]byte, error) {
	h, err := playground.New(playground.Options.Secret(hookSecret))
	return func(r *http.Request) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		_, err := h.Parse(r, playground.PushEvent)
		return nil, err
	}
}

func stripeGo(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	ev, err := stripehook.ConstructEvent(body, r.Header.Get("Stripe-Signature"), hookSecret)
	if err != nil {
		return nil, err
	}
	return ev.Data.Raw, nil
}

func cloudEventsSDK(r *http.Request) ([]byte, error) {
	ev, err := cehttp.NewEventFromHTTPRequest(r)
	if err != nil {
		return nil, err
	}
	return ev.Data(), ev.Validate()
}

func standardLibrary(take func([]byte)) (http.Handler, func() error, error) {
	w, err := standardwebhooks.NewWebhook(hookSecret64)
	if err != nil {
		return nil, nil, err
	}
	return each(bodyAndHeader(w.Verify))(take)
}

func svixLibrary(take func([]byte)) (http.Handler, func() error, error) {
	w, err := svix.NewWebhook(hookSecret64)
	if err != nil {
		return nil, nil, err
	}
	return each(bodyAndHeader(w.Verify))(take)
}

func bodyAndHeader(verify func([]byte, http.Header) error) func(*http.Request) ([]byte, error) {
	return func(r *http.Request) ([]byte, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		return body, verify(body, r.Header)
	}
}

package webhook_test

import (
	"context"
	"fmt"
	"html"
	"log"
	"net/http"
	"net/url"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A receiver in an existing mux. GitHub is answered once the body of the loop has finished.
func ExampleReceiver() {
	hook := &webhook.Receiver{Provider: provider.GitHub("the secret of the webhook")}
	http.Handle("/hooks/github", hook)

	sub, err := client.Subscribe(context.Background(), hook, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Type, ev.ID, string(ev.Data))
	}
}

// Several senders on one built-in server.
func ExampleReceiver_listener() {
	hook := &webhook.Receiver{
		Addr: ":8443",
		Providers: map[string]*provider.Provider{
			"/github": provider.GitHub("the new secret", "the old secret"),
			"/stripe": provider.Stripe("whsec_of_the_endpoint"),
		},
		OnRejected: func(e *webhook.RejectedError) { log.Print(e) },
	}
	sub, err := client.Subscribe(context.Background(), hook, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Delivery.Provider, ev.Type, string(ev.Data))
	}
}

// The secrets of an app's customers, each with a path of its own. ev.Delivery.Tenant is the customer.
func ExampleReceiver_tenants() {
	orders := provider.StandardWebhooks()
	orders.Tenants = provider.Tenants{
		Name:    provider.Source{Wildcard: "customer"},
		Secrets: secretsOf,
	}
	hook := &webhook.Receiver{Providers: map[string]*provider.Provider{"/hooks/{customer}/orders": orders}}
	http.Handle("/hooks/", hook)
	if err := hook.Validate(); err != nil {
		fmt.Println(err)
	}
	// Output:
}

// secretsOf returns the secrets of a customer from a database, or none.
func secretsOf(ctx context.Context, customer string) ([]string, error) { return nil, ctx.Err() }

// A voice call is answered with TwiML, within Twilio's deadline. A status callback is an event of the
// subscription.
func ExampleReceiver_answer() {
	hook := &webhook.Receiver{Provider: provider.Twilio("the auth token"), URL: "https://example.com/twilio"}
	hook.Answer = func(ctx context.Context, c *webhook.Call) (*provider.Answer, error) {
		form, err := url.ParseQuery(string(c.Events[0].Data))
		if err != nil || form.Get("CallStatus") != "ringing" {
			return nil, err
		}
		greeting, err := greet(ctx, form.Get("From"))
		if err != nil {
			return nil, err // answered with 503
		}
		return &provider.Answer{
			Header: http.Header{"Content-Type": {"application/xml"}},
			Body:   fmt.Appendf(nil, "<Response><Say>%s</Say></Response>", html.EscapeString(greeting)),
		}, nil
	}
	if err := hook.Validate(); err != nil {
		fmt.Println(err)
	}
	// Output:
}

func greet(context.Context, string) (string, error) { return "Hello!", nil }

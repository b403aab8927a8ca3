package webhook_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

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

package provider_test

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A sender without a preset: X-Acme-Signature is a list of the time and the signatures in hex,
// such as "t=1741064767,s=5257a8...".
func Example() {
	acme := &provider.Provider{
		Name: "acme",
		Scheme: provider.Signature{
			Header: "X-Acme-Signature", Prefix: "s=", Separator: ",",
			Timestamp: provider.Timestamp{Prefix: "t="},
			Signed:    "{ts}.{body}",
		},
		ID:      provider.Source{Header: "X-Acme-Delivery"},
		Payload: provider.Payload{Items: "events", Type: provider.Source{Path: []string{"kind"}}},
	}
	if err := acme.SetSecrets("the new secret", "the old secret"); err != nil {
		fmt.Println(err)
	}

	r := &provider.Request{
		Method: http.MethodPost, URL: "https://example.com/hooks/acme", Time: time.Now(),
		Body: []byte(`{"events":[{"kind":"created"},{"kind":"deleted"}]}`),
	}
	if err := acme.Sign(r, "d-1"); err != nil { // as acme does
		fmt.Println(err)
	}
	d, err := acme.Receive(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range d.Events {
		fmt.Println(d.ID, e.Type)
	}
	// Output:
	// d-1 created
	// d-1 deleted
}

// A sender that is nearly a preset: Mailchimp Transactional (Mandrill) signs like Twilio, in
// another header, and sends a batch in a field of a form.
func ExampleTwilio_derived() {
	mandrill := provider.Twilio("the webhook key")
	signature := mandrill.Scheme.(provider.Signature)
	signature.Header = "X-Mandrill-Signature"
	mandrill.Name, mandrill.Scheme = "mandrill", signature
	mandrill.Answers, mandrill.Retry, mandrill.ID = provider.Answers{}, provider.Retry{}, provider.Source{}
	mandrill.Payload = provider.Payload{
		Form: "mandrill_events", Items: "@this",
		ID: provider.Source{Path: []string{"_id"}}, Type: provider.Source{Path: []string{"event"}},
	}

	r := &provider.Request{
		Method: http.MethodPost, URL: "https://example.com/hooks/mandrill", Time: time.Now(),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Body:   []byte("mandrill_events=" + url.QueryEscape(`[{"event":"open","_id":"1"},{"event":"click","_id":"2"}]`)),
	}
	if err := mandrill.Sign(r, ""); err != nil { // as Mandrill does
		fmt.Println(err)
	}
	d, err := mandrill.Receive(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range d.Events {
		fmt.Println(e.ID, e.Type)
	}
	// Output:
	// 1 open
	// 2 click
}

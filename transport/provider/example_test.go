package provider_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/transport/provider"
)

// A sender that there is no preset for: X-Acme-Signature has, in a list, the time and the
// signatures in hex, as "t=1741064767,s=5257a8...".
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

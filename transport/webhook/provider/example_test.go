package provider_test

import (
	"encoding/json"
	"fmt"
	"net/http"
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

// A sender that is nearly a preset: ElevenLabs signs like Mux, in another header, under another
// version, and with a longer tolerance. Its deliveries have no id.
func ExampleMux_derived() {
	eleven := provider.Mux("wsec_of_the_webhook")
	signature := eleven.Scheme.(provider.Signature)
	signature.Header, signature.Prefix = "Elevenlabs-Signature", "v0="
	signature.Timestamp.Tolerance = 30 * time.Minute
	eleven.Name, eleven.Scheme, eleven.ID = "elevenlabs", signature, provider.Source{Hash: true}
	eleven.Payload = provider.Payload{Type: provider.Source{Path: []string{"type"}}}

	r := &provider.Request{
		Method: http.MethodPost, URL: "https://example.com/hooks/elevenlabs", Time: time.Now(),
		Body: []byte(`{"type":"post_call_transcription","data":{}}`),
	}
	if err := eleven.Sign(r, ""); err != nil { // as ElevenLabs does
		fmt.Println(err)
	}
	d, err := eleven.Receive(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(d.ID), d.Events[0].Type)
	// Output:
	// 64 post_call_transcription
}

// A sender that asks with an unsigned POST, which only its body distinguishes from a delivery.
// Handshake is called without the body first: it asks for the body of what may be the question.
func ExampleProvider_handshake() {
	acme := &provider.Provider{
		Name:   "acme",
		Scheme: provider.Signature{Header: "X-Acme-Signature"},
		Handshake: func(r *provider.Request) (*provider.Answer, bool) {
			if r.Method != http.MethodPost || r.Header.Get("X-Acme-Signature") != "" {
				return nil, false // a delivery: verify it
			}
			if r.Body == nil {
				return nil, true // read the body, and ask again
			}
			var question struct {
				Challenge string `json:"challenge"`
			}
			if json.Unmarshal(r.Body, &question) != nil || question.Challenge == "" {
				return nil, false // not a handshake either: it is refused
			}
			answer, err := json.Marshal(question)
			if err != nil || len(answer) > 1000 {
				return &provider.Answer{Status: http.StatusBadRequest}, true
			}
			return &provider.Answer{
				Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: answer,
			}, true
		},
	}
	if err := acme.SetSecrets("the secret"); err != nil {
		fmt.Println(err)
	}

	r := &provider.Request{Method: http.MethodPost, URL: "https://example.com/hooks/acme", Time: time.Now()}
	if err := acme.Precheck(r); err != nil { // as a receiver does before it reads the body
		fmt.Println(err)
	}
	r.Body = []byte(`{"challenge":"3eZbrw1a"}`)
	d, err := acme.Receive(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Answer.Status, string(d.Answer.Body), len(d.Events))
	// Output:
	// 200 {"challenge":"3eZbrw1a"} 0
}

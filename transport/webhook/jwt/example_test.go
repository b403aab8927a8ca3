package jwt_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/jwt"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A sender without a preset: an OpenID provider signs a token for each delivery, and the token
// has the SHA-256 of the body.
func Example() {
	acme := &provider.Provider{
		Name: "acme",
		Scheme: jwt.Scheme{
			Header: "Acme-Token", Algorithms: []string{"ES256"},
			Keys:    &jwt.KeySet{URL: "https://acme.example/.well-known/openid-configuration"},
			Issuers: []string{"https://acme.example"}, Audiences: []string{"my-endpoint"},
			BodyHash: "body_sha256",
		},
		Payload: provider.Payload{Type: provider.Source{Path: []string{"type"}}},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		log.Fatal(err)
	}
	// In a test, acme's key is a secret, and nothing is fetched.
	acme.WithSecrets(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))

	r := &provider.Request{Method: http.MethodPost, URL: "https://example.com/hook", Body: []byte(`{"type":"created"}`)}
	if err := acme.Sign(r, "d-1"); err != nil { // as acme does
		log.Fatal(err)
	}
	d, err := acme.Receive(r)
	fmt.Println(d.Events[0].Type, d.Proof, err)
	r.Body[0]++
	_, err = acme.Receive(r)
	fmt.Println(err)
	// Output:
	// created body <nil>
	// provider: acme: verification failed: wrong key, issuer, audience or claim, clock skew or an old token, or body modified in transit
}

// serve receives from a sender and prints the events.
func serve(p *provider.Provider) error {
	hook := &webhook.Receiver{Provider: p, URL: "https://example.com/hook", Addr: ":8080"}
	sub, err := client.Subscribe(context.Background(), hook, &client.Options{Logger: slog.Default()})
	if err != nil {
		return err
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			return err
		}
		fmt.Println(ev.Type, ev.ID, string(ev.Data))
	}
	return nil
}

func ExampleGooglePubSub() {
	// The audience and the service account are those of the subscription:
	// gcloud pubsub subscriptions create s --topic t --push-endpoint https://example.com/hook \
	//   --push-auth-service-account push@project.iam.gserviceaccount.com
	p := jwt.GooglePubSub("https://example.com/hook", "push@project.iam.gserviceaccount.com")
	log.Fatal(serve(p))
}

func ExampleGoogleChat() {
	// "Authentication audience" in the configuration of the Chat app: the number of the project, or
	// the URL of the endpoint.
	log.Fatal(serve(jwt.GoogleChat("1234567890")))
}

func ExampleAzureEventGrid() {
	// az eventgrid event-subscription create --endpoint https://example.com/hook \
	//   --azure-active-directory-tenant-id TENANT --azure-active-directory-application-id-or-uri api://hook
	p := jwt.AzureEventGrid(os.Getenv("TENANT"), "api://hook", "eventgrid.azure.net")
	log.Fatal(serve(p))
}

func ExampleBotFramework() {
	log.Fatal(serve(jwt.BotFramework(os.Getenv("MICROSOFT_APP_ID"))))
}

func ExampleMicrosoftGraph() {
	p := jwt.MicrosoftGraph([]string{os.Getenv("APP_ID")}, []string{os.Getenv("TENANT_ID")}, os.Getenv("CLIENT_STATE"))
	log.Fatal(serve(p))
}

func ExampleVonage() {
	log.Fatal(serve(jwt.Vonage(os.Getenv("VONAGE_SIGNATURE_SECRET"))))
}

func ExampleMessageBird() {
	// Receiver.URL must be the URL that MessageBird calls, because it is signed.
	log.Fatal(serve(jwt.MessageBird(os.Getenv("MESSAGEBIRD_SIGNING_KEY"))))
}

func ExamplePlaid() {
	keys := &jwt.PlaidKeys{
		ClientID: os.Getenv("PLAID_CLIENT_ID"), Secret: os.Getenv("PLAID_SECRET"),
		URL: "https://sandbox.plaid.com",
	}
	log.Fatal(serve(jwt.Plaid(keys)))
}

func ExampleMonday() {
	log.Fatal(serve(jwt.Monday("https://example.com/hook", os.Getenv("MONDAY_SIGNING_SECRET"))))
}

func ExampleLiveKit() {
	log.Fatal(serve(jwt.LiveKit(os.Getenv("LIVEKIT_API_KEY"), os.Getenv("LIVEKIT_API_SECRET"))))
}

// The event is the decoded notification. Its transactions are signed on their own.
func ExampleAppStoreNotifications() {
	app := jwt.AppStore{BundleID: "com.example.app", AppAppleID: 1234567890, Decode: true}
	hook := &webhook.Receiver{Provider: jwt.AppStoreNotifications(app), Addr: ":8080"}
	sub, err := client.Subscribe(context.Background(), hook, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			log.Fatal(err)
		}
		transaction, err := app.Verify(decode.Field(ev.Data, "data.signedTransactionInfo"))
		fmt.Println(ev.Type, ev.ID, string(transaction), err)
	}
}

// A preset whose key server is reached through a proxy.
func ExampleScheme() {
	p := jwt.GooglePubSub("https://example.com/hook", "push@project.iam.gserviceaccount.com")
	s := p.Scheme.(jwt.Scheme)
	s.Keys = &jwt.KeySet{
		URL:    "https://www.googleapis.com/oauth2/v3/certs",
		Client: &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}},
	}
	p.Scheme = s
	fmt.Println(p.Validate())
	// Output: <nil>
}

// Command oauth2 subscribes to a feed whose access tokens are valid for 15 seconds. The next
// connection is opened with a fresh token before the server cuts off the old one, so no event is
// lost, late or delivered twice. The program's own server issues the tokens and sends an event a
// second with the number of the token that it was sent under.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

func main() {
	srv := httptest.NewServer(newServer(15 * time.Second))
	defer srv.Close()
	if err := run(context.Background(), os.Stdout, srv.URL, srv.Client(), 30); err != nil {
		log.Fatal(err)
	}
}

// authorize returns a Prepare that sets an access token. It asks for the next one two minutes
// before the last one expires, when a connection is replaced at the earliest, and after a 401.
func authorize(ctx context.Context, config *clientcredentials.Config) func(*http.Request) error {
	source := func() oauth2.TokenSource {
		return oauth2.ReuseTokenSourceWithExpiry(nil, config.TokenSource(ctx), 2*time.Minute)
	}
	tokens := source()
	return func(req *http.Request) error {
		if transport.CredentialsRejected(req.Context()) {
			tokens = source() // without the one that was revoked
		}
		token, err := tokens.Token()
		if err != nil {
			return err
		}
		token.SetAuthHeader(req)
		transport.ReplaceBefore(req.Context(), token.Expiry)
		return nil
	}
}

// run prints n events and how many tokens they took.
func run(ctx context.Context, out io.Writer, url string, c *http.Client, n int) error {
	sub, err := client.Subscribe(ctx, &transport.HTTP{
		URL:     url + "/feed",
		Client:  c,
		Overlap: true, // the server allows two connections at a time
		Prepare: authorize(context.WithValue(ctx, oauth2.HTTPClient, c), &clientcredentials.Config{
			ClientID: "demo", ClientSecret: "secret", TokenURL: url + "/token",
		}),
	}, nil)
	if err != nil {
		return err
	}
	defer sub.Close()
	var last event
	for ev, err := range sub.Events() {
		if err != nil {
			return err
		}
		var e event
		if err := json.Unmarshal(ev.Data, &e); err != nil {
			return err
		}
		if e.N != last.N+1 || ev.Gap != nil {
			return fmt.Errorf("got event %d after %d", e.N, last.N)
		}
		if e.Token != last.Token {
			fmt.Fprintf(out, "token %d\n", e.Token)
		}
		fmt.Fprintf(out, "  event %d\n", e.N)
		if last = e; e.N == n {
			break
		}
	}
	fmt.Fprintf(out, "%d events, none lost, none twice; tokens: %d\n", last.N, last.Token)
	return nil
}

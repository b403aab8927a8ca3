// Command graphql subscribes to a GraphQL server over graphql-transport-ws, and resumes from
// the cursor that the query asks for.
//
// The program plays the server itself, which rejects old credentials, sends pings, cuts the
// connection and restarts, until the subscription is complete. It rejects a second subscription
// because of its query.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

func main() {
	log.SetFlags(0)
	srv := httptest.NewServer(new(server))
	err := run(context.Background(), os.Stdout, srv.URL, nil)
	srv.Close()
	if err != nil {
		log.Fatal(err)
	}
}

// The variable after makes the query resumable: the server starts after it. Without such a
// variable each reconnect is a Gap.
const query = `subscription ($after: String) { orderChanged(after: $after) { number cursor } }`

type result struct {
	OrderChanged struct {
		Number int
		Cursor string
	}
}

func run(ctx context.Context, out io.Writer, url string, c *http.Client) error {
	vault := &vault{secret: "old"}
	say := log.New(out, "", 0).Printf
	orders, err := follow(ctx, say, &operation{url: url, client: c, query: query, secret: vault.get}, 0)
	if err != nil {
		return err
	}
	if orders != lastOrder {
		return fmt.Errorf("complete with %d orders of %d", orders, lastOrder)
	}
	say("complete, with all %d orders\n\nand an invalid query:", orders)
	_, err = follow(ctx, say, &operation{url: url, client: c, query: "subscription { ordersChanged }", secret: vault.get}, 0)
	var refused *operationError
	if !errors.As(err, &refused) {
		return fmt.Errorf("want it refused, got %w", err)
	}
	say("%v", refused)
	return nil
}

// follow reads orders after the one with the number last until there are no more, and returns
// the number of the last one.
func follow(ctx context.Context, say func(string, ...any), o *operation, last int) (int, error) {
	sub, err := client.Subscribe(ctx, o.feed(), &client.Options{
		TokenOf: client.Field("orderChanged.cursor"),
		Retry:   retry.Constant(50 * time.Millisecond), // for the example; omit it
		Trace: &client.Trace{Disconnected: func(d client.DisconnectInfo) {
			if !d.Final {
				say("%s", reason(d.Err))
			}
		}},
	})
	if err != nil {
		return last, err
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			return last, err
		}
		if ev.Type == typeErrors {
			return last, fmt.Errorf("a result with errors: %s", ev.Data)
		}
		r, err := decode.JSON[result](ev.Data)
		if err != nil {
			return last, err
		}
		if n := r.OrderChanged.Number; n != last+1 || ev.Gap != nil {
			return last, fmt.Errorf("order %d follows on %d, gap %v", n, last, ev.Gap)
		}
		last++
		say("order %d", last)
	}
	return last, nil
}

// reason returns a short text for the end of a connection.
func reason(err error) string {
	var closed *transport.CloseError
	if errors.As(err, &closed) {
		return fmt.Sprintf("closed with code %d", closed.Code)
	}
	return err.Error()
}

// A vault holds the secret that connection_init carries.
type vault struct{ secret string }

func (v *vault) get(fresh bool) string {
	if fresh {
		v.secret = "new" // yours asks the issuer
	}
	return v.secret
}

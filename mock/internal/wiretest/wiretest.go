// Package wiretest reaches a mock.Feed over every wire and reads it, for the tests of mock and of
// the packages below it.
package wiretest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A Wire makes a transport that reaches the feed.
type Wire = func(t *testing.T, feed *mock.Feed) transport.Transport

// Wires are all the ways to reach a feed, by name.
var Wires = map[string]Wire{
	"no wire":                func(_ *testing.T, feed *mock.Feed) transport.Transport { return feed },
	"SSE, HTTP/1":            overHTTP(decode.SSE{}, "http"),
	"SSE, HTTP/2":            overHTTP(decode.SSE{}, "https"),
	"NDJSON, HTTP/1":         overHTTP(decode.NDJSON, "http"),
	"NDJSON, HTTP/2":         overHTTP(decode.NDJSON, "https"),
	"ConcatJSON, HTTP/1":     overHTTP(decode.ConcatJSON, "http"),
	"JSONSeq, HTTP/1":        overHTTP(decode.JSONSeq, "http"),
	"LengthPrefixed, HTTP/1": overHTTP(decode.LengthPrefixed, "http"),
	"LengthPrefixed, HTTP/2": overHTTP(decode.LengthPrefixed, "https"),
	"WebSocket": func(t *testing.T, feed *mock.Feed) transport.Transport {
		return WebSocket(t, feed.WebSocket(nil, nil), "ws")
	},
	"WebSocket, TLS": func(t *testing.T, feed *mock.Feed) transport.Transport {
		return WebSocket(t, feed.WebSocket(nil, nil), "wss")
	},
}

func overHTTP(format decode.Format, scheme string) Wire {
	return func(t *testing.T, feed *mock.Feed) transport.Transport {
		tr := HTTP(t, feed.Handler(format), scheme)
		if len(format.MediaTypes()) == 0 { // the transport cannot detect it
			tr.Format = format
		}
		return tr
	}
}

// WebSocket returns a transport to a new server with the handler.
func WebSocket(t *testing.T, h http.Handler, scheme string) *transport.WebSocket {
	srv := Serve(t, h)
	return &transport.WebSocket{
		URL: scheme + "://feed.test/stream", Client: srv.Client(), End: transport.EndFeed,
		Resume: transport.ResumeQuery("since"), PingInterval: -1,
	}
}

// HTTP returns a transport to a new server with the handler.
func HTTP(t *testing.T, h http.Handler, scheme string) *transport.HTTP {
	srv := Serve(t, h)
	return &transport.HTTP{
		URL: scheme + "://feed.test/stream", Client: srv.Client(),
		Resume: transport.ResumeQuery("since"), IdleTimeout: -1,
	}
}

// A Consumer reads a feed to its end in the simplest way: it reconnects after a second and
// resumes after the last event.
type Consumer struct {
	Token string
	Seen  []string
	Kinds map[decode.Kind]int
	Errs  []error
}

// Object returns an event whose data is a JSON object, which NDJSON sends as it is.
func Object(n int) mock.Step { return mock.Event(fmt.Sprint(n), fmt.Sprintf(`{"id":"%d"}`, n)) }

// Position returns a step that moves the position to resume from, without an event.
func Position(id string) mock.Step {
	return mock.Frame(decode.Frame{Kind: decode.KindPosition, ID: id})
}

// Retry returns a step that asks for a delay between connections.
func Retry(d time.Duration) mock.Step {
	return mock.Frame(decode.Frame{Kind: decode.KindRetry, Delay: d})
}

// Run reads until the feed is complete or ctx ends, and returns why.
func (c *Consumer) Run(ctx context.Context, tr transport.Transport) error {
	for {
		err := c.connect(ctx, tr)
		if err == transport.ErrComplete || ctx.Err() != nil {
			return err
		}
		c.Errs = append(c.Errs, err)
		var rejects interface{ RejectsToken() bool }
		if errors.As(err, &rejects) && rejects.RejectsToken() {
			c.Token = ""
		}
		time.Sleep(time.Second)
	}
}

func (c *Consumer) connect(ctx context.Context, tr transport.Transport) error {
	conn, err := tr.Open(ctx, c.Token)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		var m transport.Message
		err := conn.Read(&m)
		if err != nil {
			return err
		}
		c.take(m)
	}
}

func (c *Consumer) take(m transport.Message) {
	if c.Kinds == nil {
		c.Kinds = make(map[decode.Kind]int)
	}
	c.Kinds[m.Kind]++
	if m.Kind != decode.KindData {
		return
	}
	var event struct{ ID string }
	if err := json.Unmarshal(m.Data, &event); err != nil {
		c.Errs = append(c.Errs, err)
		return
	}
	c.Token = event.ID
	c.Seen = append(c.Seen, event.ID)
}

// IDs returns the ids of consecutive events.
func IDs(from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// Serve starts a server. At the end of the test it is closed and must have nothing left.
func Serve(t *testing.T, h http.Handler) *mock.Server {
	t.Helper()
	srv := mock.NewServer(h)
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return srv
}

// Open connects and closes when the test ends.
func Open(t *testing.T, tr transport.Transport, token string) *transport.Session {
	t.Helper()
	c, err := tr.Open(t.Context(), token)
	if err != nil {
		t.Fatalf("Open(%q): %v", token, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ReadFrom returns the next message of c.
func ReadFrom(c transport.Conn) (m transport.Message, err error) {
	err = c.Read(&m)
	return m, err
}

// Read returns the data of the next n messages.
func Read(t *testing.T, c transport.Conn, n int) []string {
	t.Helper()
	var all []string
	for range n {
		m, err := ReadFrom(c)
		if err != nil {
			t.Fatalf("Read after %q: %v", all, err)
		}
		all = append(all, string(m.Data))
	}
	return all
}

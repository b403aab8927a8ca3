package transport_test

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// socket serves WebSockets with talk.
func socket(talk func(ctx context.Context, c *websocket.Conn)) *mock.Server {
	return mock.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		talk(r.Context(), c)
	}))
}

// Each message is an event. A new connection is opened after one is lost or closed by the server,
// unless End declares code 1000 the end of the feed.
func ExampleWebSocket() {
	srv := socket(func(ctx context.Context, c *websocket.Conn) {
		for _, text := range []string{`{"price":1.20}`, `{"price":1.25}`} {
			c.Write(ctx, websocket.MessageText, []byte(text))
		}
		c.Close(websocket.StatusNormalClosure, "complete")
	})
	defer srv.Close()

	sub, err := client.Subscribe(context.Background(), &transport.WebSocket{
		URL:    "ws://feed.example/prices",
		Client: srv.Client(),      // not needed for a real server
		End:    transport.EndFeed, // this feed ends with 1000
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(string(ev.Data))
	}
	// Output:
	// {"price":1.20}
	// {"price":1.25}
}

// OnConnect subscribes after the last event of the previous connection and waits for the reply.
// OnMessage makes messages that are not events keepalives.
func ExampleWebSocket_onConnect() {
	srv := socket(func(ctx context.Context, c *websocket.Conn) {
		_, asked, err := c.Read(ctx)
		if err != nil {
			return
		}
		n, _ := strconv.Atoi(strings.TrimPrefix(string(asked), "prices after "))
		c.Write(ctx, websocket.MessageText, []byte("welcome"))
		for range 2 { // then the connection is lost
			n++
			c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"n":%d}`, n))
			c.Write(ctx, websocket.MessageText, []byte("tick"))
		}
	})
	defer srv.Close()

	feed := &transport.WebSocket{
		URL:    "ws://feed.example",
		Client: srv.Client(),
		OnConnect: func(ctx context.Context, s *transport.Socket, token string) error {
			if err := s.Send(ctx, []byte("prices after "+token)); err != nil {
				return err
			}
			answer, err := s.Receive()
			if err == nil && string(answer.Data) != "welcome" {
				err = errors.New("not welcome")
			}
			return err
		},
		OnMessage: func(_ *transport.Socket, m *transport.Message) error {
			if string(m.Data) == "tick" {
				m.Kind = decode.KindKeepalive
			}
			return nil
		},
	}
	sub, err := client.Subscribe(context.Background(), feed, &client.Options{StartAfter: "40", TokenOf: client.Field("n")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(string(ev.Data))
		if ev.Token == "43" {
			break
		}
	}
	fmt.Println(sub.Stats().Connections, "connections")
	// Output:
	// {"n":41}
	// {"n":42}
	// {"n":43}
	// 2 connections
}

// A feed compresses all messages of a connection as one zlib stream, such as Discord's
// zlib-stream. A binary message that does not end with an empty block continues in the next one.
func ExampleWebSocket_newDecompressor() {
	srv := socket(func(ctx context.Context, c *websocket.Conn) {
		var packed bytes.Buffer
		z := zlib.NewWriter(&packed)
		for _, text := range []string{`{"fruit":"damson","price":1.20}`, `{"fruit":"damson","price":1.25}`, `{"fruit":"damson","price":1.30}`} {
			io.WriteString(z, text)
			z.Flush()
			c.Write(ctx, websocket.MessageBinary, packed.Next(packed.Len()/2))
			c.Write(ctx, websocket.MessageBinary, packed.Next(packed.Len()))
		}
		c.Close(websocket.StatusNormalClosure, "")
	})
	defer srv.Close()

	decompress := func() func([]byte) ([]byte, error) {
		const (
			limit  = 16 << 20 // of a message, compressed or not
			window = 32 << 10 // what deflate refers back to (RFC 1951, section 2)
			flush  = "\x00\x00\xff\xff"
			end    = "\x01\x00\x00\xff\xff" // an empty last block, for the reader
		)
		var packed, last []byte
		header := 2 // of the stream, before its first message (RFC 1950, section 2.2)
		inflate := flate.NewReader(nil)
		return func(part []byte) ([]byte, error) {
			if packed = append(packed, part...); len(packed) > limit {
				return nil, decode.ErrTooLarge
			}
			if len(packed) < header || !bytes.HasSuffix(packed, []byte(flush)) {
				return nil, nil
			}
			blocks := io.MultiReader(bytes.NewReader(packed[header:]), strings.NewReader(end))
			if err := inflate.(flate.Resetter).Reset(blocks, last); err != nil {
				return nil, err
			}
			message, err := io.ReadAll(io.LimitReader(inflate, limit+1))
			if err == nil && len(message) > limit {
				err = decode.ErrTooLarge
			}
			last = append(last, message...)
			last = append([]byte(nil), last[max(len(last)-window, 0):]...)
			packed, header = packed[:0], 0
			return message, err
		}
	}
	sub, err := client.Subscribe(context.Background(), &transport.WebSocket{
		URL:             "ws://feed.example/?compress=zlib-stream",
		Client:          srv.Client(),
		NewDecompressor: decompress,
		End:             transport.EndFeed,
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(string(ev.Data))
	}
	// Output:
	// {"fruit":"damson","price":1.20}
	// {"fruit":"damson","price":1.25}
	// {"fruit":"damson","price":1.30}
}

// Send uses the connection that is open now. Messages that each connection needs, such as a
// subscription, belong in OnConnect.
func ExampleWebSocket_Send() {
	srv := socket(func(ctx context.Context, c *websocket.Conn) {
		c.Write(ctx, websocket.MessageText, []byte("ready"))
		for {
			_, text, err := c.Read(ctx)
			if err != nil {
				return
			}
			c.Write(ctx, websocket.MessageText, append([]byte("you said "), text...))
		}
	})
	defer srv.Close()

	ctx := context.Background()
	feed := &transport.WebSocket{URL: "ws://feed.example", Client: srv.Client()}
	fmt.Println(feed.Send(ctx, []byte("early")))

	sub, err := client.Subscribe(ctx, feed, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(string(ev.Data))
		if string(ev.Data) != "ready" {
			break
		}
		if err := feed.Send(ctx, []byte("hello")); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output:
	// transport: not connected
	// ready
	// you said hello
}

// The close codes of Centrifugo (https://centrifugal.dev/docs/server/codes). The first rule that
// contains a code applies.
func ExampleCloseRule() {
	feed := &transport.WebSocket{
		URL: "wss://centrifugo.example.com/connection/websocket",
		CloseRules: []transport.CloseRule{
			{From: 3014, Action: transport.ActionDropToken},
			{From: 3000, To: 3499, Action: transport.ActionReconnect},
			{From: 3500, To: 3999, Action: transport.ActionStop},
			{From: 4000, To: 4499, Action: transport.ActionReconnect},
			{From: 4500, To: 4999, Action: transport.ActionStop},
		},
	}
	fmt.Println(feed.Validate())
	// Output: <nil>
}

package mock_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/transport"
)

// askFor asks for a feed in the first message, and waits for the answer.
func askFor(ctx context.Context, s *transport.Socket, token string) error {
	if err := s.Send(ctx, []byte("since "+token)); err != nil {
		return err
	}
	m, err := s.Receive()
	if err == nil && string(m.Data) != "ok" {
		err = fmt.Errorf("the answer is %q", m.Data)
	}
	return err
}

// subscribed is the server's side of askFor.
func subscribed(p *mock.Peer) (string, error) {
	text, err := p.Receive()
	if err != nil {
		return "", err
	}
	token, ok := strings.CutPrefix(text, "since ")
	if !ok {
		return "", websocket.CloseError{Code: 4400, Reason: "no subscription"}
	}
	return token, p.Send("ok")
}

func TestWebSocketOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(
			wiretest.Object(1), wiretest.Object(2), mock.Drop(), mock.Status(503), wiretest.Object(3), mock.Close(4321, "notice"),
			wiretest.Object(4), mock.Close(1012, ""), wiretest.Object(5), mock.Complete(),
		)
		w := wiretest.WebSocket(t, feed.WebSocket(subscribed, nil), "ws")
		w.Resume, w.OnConnect = nil, askFor
		var c wiretest.Consumer
		if err := c.Run(t.Context(), w); err != transport.ErrComplete {
			t.Error(err)
		}
		equal(t, c.Seen, wiretest.IDs(1, 5))
		var tokens, errs []string
		for _, a := range feed.Attempts() {
			tokens = append(tokens, a.Token)
		}
		for _, err := range c.Errs {
			var closed *transport.CloseError
			var status *transport.StatusError
			switch {
			case errors.As(err, &closed):
				errs = append(errs, fmt.Sprint(closed.Code, closed.Reason))
			case errors.As(err, &status):
				errs = append(errs, fmt.Sprint(status.Code))
			}
		}
		equal(t, tokens, []string{"", "", "2", "3", "4"}) // the token of an attempt refused before the opening is not known
		equal(t, errs, []string{"1006", "503", "4321notice", "1012"})
	})
}

func TestWebSocketOpeningFails(t *testing.T) {
	for want, opening := range map[int]func(*mock.Peer) (string, error){
		4400: subscribed,
		4000: func(p *mock.Peer) (string, error) { return "", errors.New("no") },
		4009: func(p *mock.Peer) (string, error) { return "of another feed", nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(wiretest.Object(1))
			w := wiretest.WebSocket(t, feed.WebSocket(opening, nil), "ws")
			w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
				s.Send(ctx, []byte("hello"))
				_, err := s.Receive()
				return err
			}
			_, err := w.Open(t.Context(), "")
			var closed *transport.CloseError
			if !errors.As(err, &closed) || closed.Code != want {
				t.Errorf("Open: %v, want close code %d", err, want)
			}
		})
	}
}

// A message of the consumer, here an application ping, is answered while the feed continues.
func TestWebSocketAnswersDuringTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(wiretest.Object(1), mock.Frame(decode.Frame{Kind: decode.KindComment, Data: []byte("going away")}))
		w := wiretest.WebSocket(t, feed.WebSocket(nil, func(p *mock.Peer, text string) { p.Send(text + " pong") }), "ws")
		w.Subprotocols = []string{"a", "b"}
		conn, err := w.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for i, want := range []string{`{"id":"1"}`, "going away", "ping pong"} {
			if i == 2 {
				w.Send(t.Context(), []byte("ping"))
			}
			m, err := wiretest.ReadFrom(conn)
			if err != nil || string(m.Data) != want {
				t.Errorf("got %q, %v; want %q", m.Data, err, want)
			}
		}
	})
}

func TestWebSocketMalformed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		masked := []byte{0x81, 0x82, 1, 2, 3, 4, 'h', 'i'} // RFC 6455, section 5.1: a server must not
		feed := mock.NewFeed(wiretest.Object(1), mock.Malformed(masked), wiretest.Object(2), mock.Complete())
		var c wiretest.Consumer
		if err := c.Run(t.Context(), wiretest.WebSocket(t, feed.WebSocket(nil, nil), "ws")); err != transport.ErrComplete {
			t.Error(err)
		}
		equal(t, c.Seen, wiretest.IDs(1, 2))
		var broken *transport.ProtocolError
		if len(c.Errs) != 1 || !errors.As(c.Errs[0], &broken) {
			t.Errorf("got %v, want one ProtocolError", c.Errs)
		}
	})
}

// Without a wire Close is a CloseError, and over HTTP the end of the response.
func TestCloseStepOnOtherWires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Close(4321, "notice"))
		conn, err := feed.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = wiretest.ReadFrom(conn)
		var closed *transport.CloseError
		if !errors.As(err, &closed) || closed.Code != 4321 || closed.Reason != "notice" {
			t.Errorf("got %v, want close code 4321 and reason notice", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(wiretest.Object(1), mock.Close(4321, "notice"), wiretest.Object(2), mock.Complete())
		var c wiretest.Consumer
		start := time.Now()
		if err := c.Run(t.Context(), wiretest.HTTP(t, http.Handler(feed.Handler(decode.NDJSON)), "http")); err != transport.ErrComplete || time.Since(start) > 5*time.Second {
			t.Error(err)
		}
		equal(t, c.Seen, wiretest.IDs(1, 2))
	})
}

// A stalled peer answers no ping, by which the consumer detects it. Without pings the silence
// does not end.
func TestWebSocketStall(t *testing.T) {
	for name, tt := range map[string]struct {
		step mock.Step
		want time.Duration // after which the consumer gives up; zero: never
	}{
		"stalled": {mock.Stall(), 50 * time.Second},
		"silent":  {mock.Pause(9 * time.Hour), 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := wiretest.WebSocket(t, mock.NewFeed(wiretest.Object(1), tt.step).WebSocket(nil, nil), "ws")
			w.PingInterval, w.PongTimeout = 30*time.Second, 10*time.Second
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			conn, err := w.Open(ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			wiretest.ReadFrom(conn)
			start := time.Now()
			_, err = wiretest.ReadFrom(conn)
			var timeout *transport.TimeoutError
			if errors.As(err, &timeout) != (tt.want > 0) || tt.want > 0 && time.Since(start) != tt.want {
				t.Errorf("%s: got %v after %v, want a timeout after %v", name, err, time.Since(start), tt.want)
			}
		})
	}
}

// A peer that sends one message slowly sends only the bytes of that message, and after them the
// answers to the pings that came meanwhile.
func TestWebSocketPingsWhileSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long, huge := `{"a":"`+strings.Repeat("x", 200)+`"}`, `{"a":"`+strings.Repeat("x", 70_000)+`"}`
		feed := mock.NewFeed(
			mock.Slowly(time.Hour, wiretest.Object(1)), wiretest.Object(2), mock.Slowly(time.Second, mock.Event("", long)),
			mock.Slowly(time.Second, mock.Event("", huge)), mock.Slowly(time.Second, mock.Keepalive()),
			mock.Slowly(time.Second, mock.Frame(decode.Frame{Kind: decode.KindComment, Data: []byte("bye")})),
			mock.Slowly(time.Hour, mock.Partial(wiretest.Object(3), -1)),
		)
		srv := wiretest.Serve(t, feed.WebSocket(nil, func(p *mock.Peer, text string) { p.Send(text) }))
		conn, _, err := websocket.Dial(t.Context(), "ws://feed.test", &websocket.DialOptions{HTTPClient: srv.Client()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		conn.SetReadLimit(-1)
		start := time.Now()
		pings := make(chan error, 3)
		at := func(d time.Duration, ask func()) { time.AfterFunc(d, ask) }
		ping := func() { pings <- conn.Ping(t.Context()) }
		at(time.Minute, ping)
		at(2*time.Minute, func() { conn.Write(t.Context(), websocket.MessageText, []byte("echo")) })
		at(3*time.Minute, ping)
		at(90*time.Minute, ping)
		var got []string
		for err == nil {
			var b []byte
			if _, b, err = conn.Read(t.Context()); err == nil {
				got = append(got, string(b))
			}
		}
		if i := slices.Index(got, "echo"); i > 0 {
			got = slices.Delete(got, i, i+1) // it may come after any message
		}
		equal(t, got, []string{`{"id":"1"}`, `{"id":"2"}`, long, huge, "bye"})
		if d := time.Since(start); d != 2*time.Hour+4*time.Second {
			t.Errorf("took %v, want 2h0m4s", d)
		}
		conn.CloseNow()
		if a, b, c := <-pings, <-pings, <-pings; a != nil || b != nil || c == nil {
			t.Errorf("got pings %v, %v, then %v, want two answered, and none while a part of a message comes", a, b, c)
		}
	})
}

// A WebSocket whose token comes in a message is refused before that.
func TestWebSocketLimitsApplyBeforeTheOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(wiretest.Object(1))
		feed.MaxConns = 1
		feed.Authorize = func(r *http.Request) bool { return strings.HasSuffix(r.Header.Get("Authorization"), "good") }
		w := wiretest.WebSocket(t, feed.WebSocket(subscribed, nil), "ws")
		w.Resume, w.OnConnect, w.Header = nil, askFor, http.Header{"Authorization": {"Bearer good"}}
		wiretest.Read(t, wiretest.Open(t, w, ""), 1)
		for value, want := range map[string]int{"Bearer bad": 401, "Bearer good": 429} {
			other := wiretest.WebSocket(t, feed.WebSocket(subscribed, nil), "ws")
			other.Resume, other.OnConnect, other.Header = nil, askFor, http.Header{"Authorization": {value}}
			var status *transport.StatusError
			if _, err := other.Open(t.Context(), ""); !errors.As(err, &status) || status.Code != want {
				t.Errorf("%s: %v, want %d", value, err, want)
			}
		}
	})
}

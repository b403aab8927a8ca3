package transport_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

func TestCloseRuleLongestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.Close(4000, "") })
		w.CloseRules = []transport.CloseRule{{From: 4000, Action: transport.ActionWait, MaxWait: math.MaxInt64}}
		conn := openSocket(t, w, "")
		readFrom(conn)
	})
}

// A greeting before the refusal is no sign that the credentials were accepted.
func TestFreshCredentialsAreTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.say("welcome"); p.Close(4401, "") })
		w.Prepare = func(*http.Request) error { return nil }
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error { m.Kind = decode.KindKeepalive; return nil }
		for n := range 5 {
			conn, err := w.Open(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = readFrom(conn)
			}
			conn.Close()
			var s interface{ StatusCode() int }
			if errors.As(err, &s) && s.StatusCode() == 401 {
				if n != 1 {
					t.Errorf("got 401 at attempt %d, want at attempt 2", n+1)
				}
				return
			}
		}
		t.Error("got no 401 in five attempts, want one after fresh credentials were refused")
	})
}

// centrifugo are the rules of ExampleCloseRule.
var centrifugo = []transport.CloseRule{
	{From: 3014, Action: transport.ActionDropToken},
	{From: 3000, To: 3499, Action: transport.ActionReconnect},
	{From: 3500, To: 3999, Action: transport.ActionStop},
	{From: 4000, To: 4499, Action: transport.ActionReconnect},
	{From: 4500, To: 4999, Action: transport.ActionStop},
}

func TestWebSocketCloseCodes(t *testing.T) {
	for _, c := range []struct {
		code int
		rest *transport.WebSocket
		want string
	}{
		{1000, &transport.WebSocket{}, "network"},
		{1000, &transport.WebSocket{End: transport.EndFeed}, "end"},
		{1001, &transport.WebSocket{}, "network"},
		{1008, &transport.WebSocket{}, "network"},
		{1008, &transport.WebSocket{Prepare: func(*http.Request) error { return nil }}, "network"},
		{1002, &transport.WebSocket{}, "protocol"},
		{1003, &transport.WebSocket{}, "protocol"},
		{1007, &transport.WebSocket{}, "protocol"},
		{1009, &transport.WebSocket{}, "protocol"},
		{1010, &transport.WebSocket{}, "protocol"},
		{1011, &transport.WebSocket{}, "network"},
		{1014, &transport.WebSocket{}, "network"},
		{3001, &transport.WebSocket{}, "network"},
		{3003, &transport.WebSocket{}, "auth"},
		{3008, &transport.WebSocket{}, "network"},
		{3999, &transport.WebSocket{}, "protocol"},
		{4012, &transport.WebSocket{}, "protocol"},
		{4400, &transport.WebSocket{}, "protocol"},
		{4401, &transport.WebSocket{}, "auth"},
		{4406, &transport.WebSocket{}, "protocol"},
		{4408, &transport.WebSocket{}, "network"},
		{4409, &transport.WebSocket{}, "protocol"},
		{1012, &transport.WebSocket{}, "wait 5s-30s"},
		{1013, &transport.WebSocket{}, "wait 30s-1m0s"},
		{3000, &transport.WebSocket{}, "auth"},
		{3000, &transport.WebSocket{CloseRules: centrifugo}, "network"},
		{3500, &transport.WebSocket{}, "protocol"},
		{3014, &transport.WebSocket{CloseRules: centrifugo}, "token"},
		{4503, &transport.WebSocket{CloseRules: centrifugo}, "stop"},
		{4004, &transport.WebSocket{}, "protocol"},
		{4007, &transport.WebSocket{}, "token"},
		{4003, &transport.WebSocket{CloseRules: transport.DiscordCloseRules()}, "network"},
		{4403, &transport.WebSocket{}, "auth"},
		{4429, &transport.WebSocket{}, "wait 30s-1m0s"},
		{4429, &transport.WebSocket{CloseRules: transport.GraphQLCloseRules()}, "stop"},
		{4321, &transport.WebSocket{}, "network"},
		{4321, &transport.WebSocket{CloseRules: []transport.CloseRule{{From: 4300, To: 4399, Action: transport.ActionWait, MinWait: 2 * time.Second, MaxWait: 2 * time.Second}}}, "wait 2s-2s"},
		{4321, &transport.WebSocket{Classify: func(err error) transport.Action { return transport.ActionStop }}, "stop"},
		{4321, &transport.WebSocket{Classify: func(err error) transport.Action { return transport.ActionEnd }}, "end"},
	} {
		t.Run(fmt.Sprintf("%d %s", c.code, c.want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := sockets(t, func(p *peer) { p.Close(websocket.StatusCode(c.code), "") })
				w.End, w.CloseRules, w.Classify, w.Prepare = c.rest.End, c.rest.CloseRules, c.rest.Classify, c.rest.Prepare
				if err := readError(t, openSocket(t, w, "")); !follows(err, c.want) {
					t.Errorf("got %v (%#v), want an error whose consequence is %q", err, err, c.want)
				}
			})
		})
	}
}

// 1008 may mean a late pong or wrong credentials. It is more than a lost connection only if fresh
// credentials are refused at once, and never ends a feed that has worked.
func TestWebSocketPolicyViolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		speaks := true
		w := sockets(t, func(p *peer) {
			if speaks {
				p.say("x")
			}
			p.Close(1008, "Pong timeout")
		})
		w.Prepare = func(*http.Request) error { return nil }
		for i, c := range []struct {
			speaks bool
			want   string
		}{{true, "network"}, {true, "network"}, {true, "network"}, {false, "protocol"}, {false, "network"}, {false, "protocol"}, {true, "network"}} {
			speaks = c.speaks
			conn := openSocket(t, w, "")
			if speaks {
				read(t, conn)
			}
			if err := readError(t, conn); class(err) != c.want {
				t.Errorf("end %d: got %v of class %s, want %s", i+1, err, class(err), c.want)
			}
			conn.Close()
		}
	})
}

// follows reports whether the methods of err lead to what is wanted in package retry.
func follows(err error, want string) bool {
	var methods interface {
		error
		Retryable() bool
		RejectsToken() bool
		RetryAfter() time.Duration
		StatusCode() int
	}
	if errors.Is(err, transport.ErrComplete) || !errors.As(err, &methods) {
		return want == "end"
	}
	var lo, hi string
	if n, _ := fmt.Sscanf(strings.ReplaceAll(want, "-", " "), "wait %s %s", &lo, &hi); n == 2 {
		least, _ := time.ParseDuration(lo)
		most, _ := time.ParseDuration(hi)
		return methods.Retryable() && methods.RetryAfter() >= least && methods.RetryAfter() <= most
	}
	switch {
	case methods.StatusCode() == 401:
		return want == "auth"
	case methods.RejectsToken():
		return want == "token"
	case !methods.Retryable():
		return want == "stop"
	case retry.Classify(err) == retry.ClassProtocol:
		return want == "protocol"
	}
	return want == "network" && methods.RetryAfter() == 0
}

// Classify also gets the status of a refused handshake, with its body.
func TestWebSocketClassifyStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &transport.WebSocket{URL: "ws://feed.test", Client: inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"CursorTooOld"}`)
		})}
		w.Classify = func(err error) transport.Action {
			var e *transport.StatusError
			if errors.As(err, &e) && strings.Contains(string(e.Body), "CursorTooOld") {
				return transport.ActionDropToken
			}
			return transport.ActionDefault
		}
		if err := openSocketError(t, w, "1"); !follows(err, "token") {
			t.Errorf("got %v, want a rejected token", err)
		}
	})
}

// Autobahn case 7.5.1: a reason that is not UTF-8 is answered with 1007. The error has the
// server's code.
func TestWebSocketReasonNotUTF8(t *testing.T) {
	const reason = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64"
	for name, c := range map[string]struct {
		reason  string
		anyText bool
		pieces  int
		answer  int
	}{
		"invalid":           {reason, false, 1, 1007},
		"invalid in pieces": {reason, false, 7, 1007},
		"AllowInvalidUTF8":  {reason, true, 1, 4004},
		"valid":             {"κόσμε", false, 1, 4004},
		"none":              {"", false, 1, 4004},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := make(chan int, 1)
				w := raw(t, func(conn net.Conn) {
					frame := closing(4004, c.reason)
					for len(frame) > 0 {
						n := min(len(frame), (len(closing(4004, c.reason))+c.pieces-1)/c.pieces)
						conn.Write(frame[:n])
						frame = frame[n:]
						time.Sleep(100 * time.Millisecond)
					}
					sent <- sentClose(hangUp(conn))
				})
				w.AllowInvalidUTF8 = c.anyText
				err := want[*transport.CloseError](t, readError(t, openSocket(t, w, "")))
				if err.Code != 4004 || err.Reason != strings.ToValidUTF8(c.reason, "\uFFFD") {
					t.Errorf("got close code %d, reason %q, want 4004, %q", err.Code, err.Reason, strings.ToValidUTF8(c.reason, "\uFFFD"))
				}
				if got := <-sent; got != c.answer {
					t.Errorf("got close code %d, want %d", got, c.answer)
				}
			})
		})
	}
}

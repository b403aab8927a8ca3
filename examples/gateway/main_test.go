package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStory(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		srv := mock.NewServer(newGateway())
		defer func() {
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
		}()
		var out strings.Builder
		start := time.Now()
		if err := run(t.Context(), &out, srv.URL, dir, srv.Client()); err != nil {
			t.Fatalf("%v, after\n%s", err, &out)
		}
		want := `the bot starts
connected: a new session
10 messages, then the gateway asks for another connection
connected: the session is resumed
12 messages, then no answer to a heartbeat
connected: the session is resumed
17 messages, then it is closed with code 1006
connected: the session is resumed
7 messages, then the gateway has forgotten the session
connected: a new session
gap before message 51: token rejected
"restart yourself": the bot stops
the bot starts
connected: the session is resumed
"good night": the bot stops

70 messages, 4 missing, all reported
`
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", &out, want)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("took %v, want at most 5s: silence was noticed late", d)
		}
	})
}

// A position that the gateway does not know, or that is invalid, is dropped with a gap.
func TestRejectedPositionReportsAGap(t *testing.T) {
	for _, token := range []string{"unknown:7:http://feed.test/resume", "garbage"} {
		synctest.Test(t, func(t *testing.T) {
			srv := mock.NewServer(newGateway())
			defer srv.Close()
			b := &bot{url: srv.URL, credentials: credentials, client: srv.Client(), diary: newDiary(io.Discard)}
			sub, err := client.Subscribe(t.Context(), b.feed(), &client.Options{StartAfter: token})
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			ev, err := sub.Next(t.Context())
			if err != nil || ev.Gap == nil || ev.Gap.Reason != transport.GapTokenRejected {
				t.Errorf("after %q: got gap %v, %v, want a rejected token", token, ev.Gap, err)
			}
		})
	}
}

// A loss without a gap is detected, or the example would prove nothing.
func TestLossIsNoticed(t *testing.T) {
	for _, tt := range []struct {
		id   string
		gap  *client.Gap
		want bool
	}{
		{"5", nil, true},
		{"4", nil, false},
		{"4", &client.Gap{}, false},
		{"6", nil, false},
		{"6", &client.Gap{}, true},
		{"five", nil, false},
	} {
		d := newDiary(io.Discard)
		d.last = 4
		if err := d.note(message{ID: tt.id}, tt.gap); (err == nil) != tt.want {
			t.Errorf("%s after 4, gap %v: got %v, want success %t", tt.id, tt.gap, err, tt.want)
		}
	}
}

func TestPosition(t *testing.T) {
	p := position{"a1b2", 17, "wss://gateway-us-east1-b.example"}
	if got, ok := parsePosition(p.token()); !ok || got != p {
		t.Errorf("parsePosition: got %+v, %t, want %+v, true", got, ok, p)
	}
	for _, token := range []string{"", "a", "a:1", "a:b:c", ":::"} {
		if p, ok := parsePosition(token); ok {
			t.Errorf("parsePosition(%q): got %+v, want none", token, p)
		}
	}
	req := httptest.NewRequest(http.MethodGet, "http://gateway.example/?v=10", nil)
	if err := resumeURL(req, p.token()); err != nil || req.URL.String() != p.url+"?v=10" {
		t.Errorf("resumeURL: got %v, %v, want %s?v=10", req.URL, err, p.url)
	}
	if err := resumeURL(req, "garbage"); err != nil || req.URL.Host != "gateway-us-east1-b.example" {
		t.Errorf("resumeURL of garbage: got %v, %v, want it unchanged", req.URL, err)
	}
}

func TestOnMessage(t *testing.T) {
	ready := `{"op":0,"s":1,"t":"READY","d":{"session_id":"abc","resume_gateway_url":"wss://r"}}`
	for _, tt := range []struct {
		text  string
		kind  decode.Kind
		token string
		err   error
	}{
		{ready, decode.KindPosition, "abc:1:wss://r", nil},
		{`{"op":0,"s":2,"t":"MESSAGE_CREATE","d":{"id":"1"}}`, decode.KindData, "abc:2:wss://r", nil},
		{`{"op":0,"s":3,"t":"RESUMED","d":{}}`, decode.KindPosition, "abc:3:wss://r", nil},
		{`{"op":77}`, decode.KindKeepalive, "", nil},
		{`{"op":9,"d":true}`, decode.KindKeepalive, "", io.EOF},
		{`{"op":9,"d":false}`, decode.KindKeepalive, "", invalidSession{}},
	} {
		b := &bot{at: position{"abc", 0, "wss://r"}}
		m := transport.Message{Data: []byte(tt.text)}
		if err := b.onMessage(nil, &m); !errors.Is(err, tt.err) || m.Kind != tt.kind || m.Token != tt.token {
			t.Errorf("%s: got kind %v, token %q, %v, want %v, %q, %v", tt.text, m.Kind, m.Token, err, tt.kind, tt.token, tt.err)
		}
	}
	b := new(bot)
	for _, text := range []string{"{", `{"op":0,"t":"READY","d":{}}`, `{"op":0,"t":"READY","d":{"session_id":"a:b"}}`} {
		if b.onMessage(nil, &transport.Message{Data: []byte(text)}) == nil {
			t.Errorf("%s: got no error, want one", text)
		}
	}
}

func TestHeartbeatCarriesTheNumber(t *testing.T) {
	b := new(bot)
	for n, want := range map[int]string{0: "null", 12: "12"} {
		b.set(position{sequence: n})
		var p payload
		if err := json.Unmarshal(b.heartbeat(), &p); err != nil || p.Op != opHeartbeat || string(p.Data) != want {
			t.Errorf("heartbeat after %d: got op %d with %s, %v, want %d with %s", n, p.Op, p.Data, err, opHeartbeat, want)
		}
	}
}

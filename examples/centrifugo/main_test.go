package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
	"go.uber.org/goleak"
)

// The server's library leaves workers that sleep a second after the last one of a channel has left.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/centrifugal/centrifuge/internal/dissolve.(*Dissolver).runWorker"))
}

// Against Centrifugo's library on the loopback network.
func TestStory(t *testing.T) {
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	defer web.Close()
	defer func() { s.instance.Load().stop() }()
	var out strings.Builder
	if err := run(t.Context(), &out, s, "ws"+strings.TrimPrefix(web.URL, "http"), nil); err != nil {
		t.Fatalf("%v, after\n%s", err, &out)
	}
	const want = `live: each channel got 1 to 3
connection dropped: each channel got 4 to 6
channel ended with code 2500: each channel got 7 to 9
channel ended with code 2500 again: each channel got 10 to 12
restarted without history: each channel got 13 to 15
channel ended with code 2000: server decision (2000)
forbidden: permission denied (103)
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

// Lines and pings in one message (https://centrifugal.dev/docs/transports/client_protocol).
func TestSplit(t *testing.T) {
	m := transport.Message{Data: []byte(`{"id":1}` + "\n" + `{"push":{}}` + "\n")}
	if err := new(session).split(nil, &m); err != nil || len(m.Parts) != 2 || string(m.Parts[1].Data) != `{"push":{}}` {
		t.Errorf("got %v, %v, want two parts", m.Parts, err)
	}
	m = transport.Message{Data: []byte("\n")}
	if err := new(session).split(nil, &m); err != nil || m.Parts == nil || len(m.Parts) != 0 {
		t.Errorf("got %v, %v, want an empty list", m.Parts, err)
	}
}

// The shapes of the protocol's page, with recovery.
func TestReply(t *testing.T) {
	v, err := decode.JSON[reply]([]byte(`{"id":2,"subscribe":{"recoverable":true,"epoch":"xyz","publications":[{"data":{"a":1},"offset":7}],"recovered":true,"offset":7,"positioned":true,"was_recovering":true}}`))
	s := v.Subscribe
	if err != nil || s == nil || !s.WasRecovering || !s.Recovered || s.Epoch != "xyz" || len(s.Publications) != 1 || s.Publications[0].Offset != 7 {
		t.Errorf("got %+v, %v", s, err)
	}
}

func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		`{"id":2,"subscribe":{"recoverable":true,"epoch":"xyz","was_recovering":true}}`, `{"id":3,"error":{"code":103,"message":"permission denied"}}`,
		`{"push":{"channel":"a","pub":{"data":1,"offset":3}}}`, `{"push":{"channel":"a","unsubscribe":{"code":2500}}}`, "{}\n{}", "[",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "{}") {
			return // a ping needs a socket
		}
		m := transport.Message{Data: data}
		if err := new(session).split(nil, &m); err != nil {
			t.Error(err)
		}
		for _, part := range m.Parts {
			decode.JSON[reply](part.Data)
		}
	})
}

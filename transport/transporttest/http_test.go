package transporttest_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/transporttest"
)

// A wire is a framing of an HTTP feed.
type wire struct {
	format  decode.Format
	partial string // the beginning of an event
	resume  transport.Resume
}

var wires = map[string]wire{
	"SSE":    {decode.SSE{}, "id: secret-x\ndata: {\"id\"", nil},
	"NDJSON": {decode.NDJSON, `{"id":"secr`, transport.ResumeQuery("since")},
}

// script returns the steps of a mock.Feed that plays s.
func script(s transporttest.Script, partial string) (steps []mock.Step) {
	for _, e := range s.Events {
		if e.Pause > 0 {
			steps = append(steps, mock.Pause(e.Pause))
		}
		steps = append(steps, mock.Event(e.Token, e.Data))
	}
	switch s.Ending {
	case transporttest.EndingClean:
		steps = append(steps, mock.End())
	case transporttest.EndingCut:
		steps = append(steps, mock.Drop())
	case transporttest.EndingPartial:
		steps = append(steps, mock.Malformed([]byte(partial)), mock.End())
	case transporttest.EndingComplete:
		steps = append(steps, mock.Complete())
	}
	return steps
}

func (w wire) peer(s transporttest.Script) http.Handler {
	if s.Dial == transporttest.DialSilent {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	}
	return mock.NewFeed(script(s, w.partial)...).Handler(w.format)
}

func TestHTTPInMemory(t *testing.T) {
	for name, wire := range wires {
		for _, scheme := range []string{"http", "https"} {
			t.Run(name+" "+scheme, func(t *testing.T) {
				transporttest.RunInBubble(t, startHTTP(wire, scheme))
			})
		}
	}
}

func startHTTP(wire wire, scheme string) transporttest.Start {
	return func(t testing.TB, s transporttest.Script) transport.Transport {
		srv := mock.NewServer(wire.peer(s))
		t.Cleanup(func() {
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
		})
		h := &transport.HTTP{URL: scheme + "://feed.test/stream?key=secret-0", Client: srv.Client(), Resume: wire.resume}
		if scheme == "https" { // which is read on
			h.Overlap, h.MaxConnectionAge = true, time.Second
		}
		if s.Misconfigured {
			h.URL = "feed.test/?key=secret-0"
		}
		if s.Dial == transporttest.DialRefused {
			h.URL = scheme + "://feed.test:9/stream?key=secret-0"
		}
		return h
	}
}

// On a real network, with the default client.
func TestHTTPOnLoopback(t *testing.T) {
	for name, wire := range wires {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transporttest.Run(t, func(t testing.TB, s transporttest.Script) transport.Transport {
				h := &transport.HTTP{Resume: wire.resume}
				if s.Misconfigured {
					return h
				}
				if s.Dial == transporttest.DialRefused {
					l, err := net.Listen("tcp", "127.0.0.1:0")
					if err != nil {
						t.Fatal(err)
					}
					l.Close()
					h.URL = "http://" + l.Addr().String() + "/?key=secret-0"
					return h
				}
				srv := httptest.NewServer(wire.peer(s))
				t.Cleanup(srv.Close)
				h.URL = srv.URL + "/?key=secret-0"
				return h
			})
		})
	}
}

// A mock.Feed is a Transport without a network.
func TestFeed(t *testing.T) { transporttest.RunInBubble(t, startFeed) }

func startFeed(_ testing.TB, s transporttest.Script) transport.Transport {
	switch {
	case s.Misconfigured || s.Dial == transporttest.DialSilent || s.Ending == transporttest.EndingPartial:
		return nil
	case s.Dial == transporttest.DialRefused:
		return mock.NewFeed(mock.Refuse(), mock.Refuse())
	}
	return mock.NewFeed(script(s, "")...)
}

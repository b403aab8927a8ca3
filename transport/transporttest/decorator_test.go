package transporttest_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/transporttest"
)

// A passThrough wraps the connections of a Transport as its documentation describes: it replaces
// the Conn of a copy of the Session.
type passThrough struct{ transport.Transport }

func (p passThrough) Open(ctx context.Context, token string) (*transport.Session, error) {
	s, err := p.Transport.Open(ctx, token)
	if err != nil {
		return nil, err
	}
	wrapped := *s
	wrapped.Conn = wrappedConn{s.Conn}
	return &wrapped, nil
}

type wrappedConn struct{ transport.Conn }

// Each transport of this module keeps the contract when it is wrapped.
func TestDecoratedTransportsKeepTheContract(t *testing.T) {
	for name, start := range map[string]transporttest.Start{
		"HTTP":      startHTTP(wires["SSE"], "http"),
		"HTTPS":     startHTTP(wires["NDJSON"], "https"),
		"WebSocket": startSocket("ws", false),
		"Overlap":   startSocket("wss", true),
		"Feed":      startFeed,
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.RunInBubble(t, func(t testing.TB, s transporttest.Script) transport.Transport {
				inner := start(t, s)
				if inner == nil {
					return nil
				}
				return passThrough{inner}
			})
		})
	}
}

// A wrapper keeps what the Session reports.
func TestDecoratedSession(t *testing.T) {
	start := startSocket("ws", true)
	s := transporttest.Script{Events: []transporttest.Event{{Token: "1", Data: `{"id":"1"}`}}}
	synctest.Test(t, func(t *testing.T) {
		got, err := passThrough{start(t, s)}.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		if !got.Resumes || got.MaxPause == 0 || got.OnExpiring == nil {
			t.Errorf("got Resumes %v, MaxPause %v, OnExpiring set %v, want all of them", got.Resumes, got.MaxPause, got.OnExpiring != nil)
		}
	})
}

package client_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// TestTokenThatNoHeaderCanHold resumes from a token with a line end in it: the feed goes on
// without a position, and the loss is reported.
func TestTokenThatNoHeaderCanHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("1", "a"), mock.Drop(), mock.Event("2", "b"), mock.Stall())
		srv := mock.NewServer(feed.Handler(decode.SSE{}))
		defer srv.Close()
		sub := subscribe(t, &transport.HTTP{URL: "http://api.example.com/", Client: srv.Client()}, &client.Options{
			TokenOf: func(ev client.Event) string { return "line\n" + ev.ID },
		})
		defer sub.Close()
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Gap == nil {
				continue
			}
			if ev.Gap.Reason != transport.GapTokenRejected || ev.Gap.From != "line\n1" || string(ev.Data) != "b" {
				t.Errorf("%s after %+v", ev.Data, ev.Gap)
			}
			break
		}
		want(t, "tokens", tokens(feed), []string{"", ""})
	})
}

// TestIDWithControlByte receives an id that no request can hold. The position stays where it
// was, so that the event comes again after a reconnect.
func TestIDWithControlByte(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("1", "a"), mock.Event("2\x01", "b"), mock.Drop(), mock.Event("3", "c"), mock.Complete())
		srv := mock.NewServer(feed.Handler(decode.SSE{}))
		defer srv.Close()
		var signals []string
		sub := subscribe(t, &transport.HTTP{URL: "http://api.example.com/", Client: srv.Client()}, &client.Options{
			Trace: &client.Trace{Signal: func(m transport.Message) { signals = append(signals, string(m.Data)) }},
		})
		var got []string
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(ev.Data)+" "+ev.Token)
		}
		sub.Close()
		if len(got) < 3 || !slices.Equal(got[:2], []string{"a 1", "b 1"}) || got[len(got)-1] != "c 3" {
			t.Errorf("events %q", got)
		}
		if len(signals) == 0 || !strings.Contains(signals[0], "control bytes") {
			t.Errorf("signals %q", signals)
		}
		want(t, "tokens", tokens(feed), []string{"", "1", "3"})
	})
}

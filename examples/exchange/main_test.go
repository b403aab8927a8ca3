package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBooksMatchAfterEveryGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchange()
		srv := mock.NewServer(x)
		defer func() {
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
		}()
		var out strings.Builder
		if err := run(t.Context(), &out, x, srv.URL, srv.Client()); err != nil {
			t.Fatalf("%v, after\n%s", err, &out)
		}
		got := slices.DeleteFunc(strings.Split(out.String(), "\n"), func(line string) bool {
			return !strings.Contains(line, " missed ") && !strings.Contains(line, "updates over") && !strings.Contains(line, "no message;")
		})
		want := []string{
			"ETH-USD: update 13, 2 missed (sequence jump): snapshot of ",
			"BTC-USD: update 14, 3 missed (sequence jump): snapshot of ",
			"BTC-USD: update 22, 3 missed (no token): snapshot of ",
			"ETH-USD: update 22, 4 missed (sequence jump): snapshot of ",
			"lost: no message; again in ",
			"BTC-USD: update 30, 2 missed (no token): snapshot of ",
			"ETH-USD: update 30, 2 missed (sequence jump): snapshot of ",
			"ETH-USD: update 36, 1 missed (sequence jump): snapshot of ",
			"73 updates over 3 connections, 9 gaps closed with 16 snapshots, 16 duplicates dropped",
		}
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("got\n%s\nwant lines that begin with %q", &out, want)
		}
	})
}

// An ignored gap is detected, or the example would prove nothing.
func TestLossIsNoticed(t *testing.T) {
	b := &book{Sequence: 4, Sizes: map[string]int{"100": 1}}
	f := &follower{books: map[string]*book{"BTC-USD": b}}
	if err := f.take(t.Context(), update{Product: "BTC-USD", Sequence: 6}, nil); err == nil {
		t.Error("update 6 after 4: got no error, want one")
	}
	x := newExchange()
	x.miss(10)
	books := map[string]*book{"BTC-USD": x.books["BTC-USD"].clone(), "ETH-USD": x.books["ETH-USD"].clone()}
	if err := x.verify(books); err != nil {
		t.Error(err)
	}
	books["ETH-USD"].Sizes["1"]++
	if x.verify(books) == nil {
		t.Error("a wrong book: got no error, want one")
	}
}

func TestOnMessage(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"update","product":"A","sequence":7}`: "A 7",
		`{"type":"heartbeat"}`:                         "",
		`{"type":"closed"}`:                            transport.ErrComplete.Error(),
		`{"type":"error","message":"bye"}`:             "cut off: bye",
	} {
		m := transport.Message{Data: []byte(text)}
		got := ""
		if err := onMessage(nil, &m); err != nil {
			got = err.Error()
		} else {
			got = m.ID
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if onMessage(nil, &transport.Message{Data: []byte("{")}) == nil {
		t.Error("half a message: got no error, want one")
	}
	if _, _, ok := sequence(client.Event{Data: []byte("{")}); ok {
		t.Error("half a message: got a sequence number, want none")
	}
}

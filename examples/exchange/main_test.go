package main

import (
	"fmt"
	"regexp"
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

var number = regexp.MustCompile(`missed: [1-9][0-9]* of`)

// The numbers vary a little: whether a snapshot has an update that is sent at the same moment is open.
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
			return !strings.Contains(line, "missed: ") && !strings.Contains(line, " updates and ") && !strings.Contains(line, "no message;")
		})
		want := []string{
			"missed: N of ETH-USD (sequence jump)",
			"missed: N of BTC-USD (sequence jump)",
			"missed: unknown (no token)",
			"missed: N of BTC-USD (sequence jump)",
			"missed: N of ETH-USD (sequence jump)",
			"lost: no message; again in ",
			"missed: unknown (no token)",
			"missed: N of BTC-USD (sequence jump)",
			"missed: N of ETH-USD (sequence jump)",
			"missed: N of ETH-USD (sequence jump)",
		}
		if len(got) == 0 || !slices.EqualFunc(got[:len(got)-1], want, func(got, want string) bool {
			return strings.HasPrefix(number.ReplaceAllString(got, "missed: N of"), want)
		}) {
			t.Fatalf("got\n%s\nwant lines that begin with %q", &out, want)
		}
		var updates, snapshots, connections, gaps, duplicates int
		_, err := fmt.Sscanf(got[len(got)-1], "%d updates and %d snapshots over %d connections, %d gaps closed, %d duplicates dropped",
			&updates, &snapshots, &connections, &gaps, &duplicates)
		if err != nil || updates+duplicates < 85 || updates+duplicates > 99 || updates < 60 || snapshots != 13 || connections != 3 || gaps != 9 {
			t.Errorf("got %q, want about 92 updates and duplicates, 13 snapshots, 3 connections, 9 gaps", got[len(got)-1])
		}
	})
}

// A missing update is noticed, or the example would prove nothing.
func TestLossIsNoticed(t *testing.T) {
	f := &follower{books: map[string]*book{"BTC-USD": {Sequence: 4, Sizes: map[string]int{"100": 1}}}}
	for n, ok := range map[int]bool{4: false, 5: true, 7: false} {
		text := fmt.Appendf(nil, `{"type":"update","product":"BTC-USD","sequence":%d,"price":"100","size":2}`, n)
		if err := f.take(client.Event{Type: "update", Data: text}); (err == nil) != ok {
			t.Errorf("update %d: got the error %v, want one: %t", n, err, !ok)
		}
		f.books["BTC-USD"].Sequence = 4
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

package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		srv := mock.NewServer(s)
		defer func() {
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
		}()
		var out, want strings.Builder
		if err := run(t.Context(), &out, srv.URL, srv.Client()); err != nil {
			t.Fatalf("%v, after\n%s", err, &out)
		}
		fmt.Fprintln(&want, "closed with code 4403")
		for n := 1; n <= lastOrder; n++ {
			fmt.Fprintln(&want, "order", n)
			switch n {
			case 10:
				fmt.Fprintln(&want, "closed with code 1006")
			case 20:
				fmt.Fprintln(&want, "closed with code 1001")
			}
		}
		want.WriteString(`complete, with all 30 orders

and an invalid query:
refused: Cannot query field "ordersChanged" on type "Subscription".
`)
		if out.String() != want.String() {
			t.Errorf("got\n%swant\n%s", &out, &want)
		}
		if n := s.subscriptions.Load(); n != 3 {
			t.Errorf("got %d subscriptions, want 3", n)
		}
	})
}

// A feed that begins in the middle is detected, or the example would prove nothing.
func TestLossIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := mock.NewServer(new(server))
		defer srv.Close()
		o := &operation{url: srv.URL, client: srv.Client(), query: query, secret: (&vault{"new"}).get}
		last, err := follow(t.Context(), t.Logf, o, 4)
		if err == nil || last != 4 {
			t.Errorf("a feed from order 1 after 4: got %d, %v, want 4 and an error", last, err)
		}
	})
}

func TestOnMessage(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string // type and data of the event
		err  bool
	}{
		{`{"id":"1","type":"next","payload":{"data":{"a":1}}}`, ` {"a":1}`, false},
		{`{"id":"1","type":"next","payload":{"data":null,"errors":[{"message":"no"}]}}`, `errors {"data":null,"errors":[{"message":"no"}]}`, false},
		{`{"id":"2","type":"next","payload":{"data":{"a":1}}}`, "", false},
		{`{"id":"2","type":"complete"}`, "", false},
		{`{"type":"pong"}`, "", false},
		{`{"id":"1","type":"news"}`, "", false},
		{`{"id":"1","type":"next","payload":7}`, "", true},
		{`{"id":"1","type":"error","payload":7}`, "", true},
		{`{"id":"1"`, "", true},
	} {
		m := transport.Message{Data: []byte(tt.text)}
		err := onMessage(nil, &m)
		got := ""
		if err == nil && m.Kind == decode.KindData {
			got = m.Type + " " + string(m.Data)
		}
		if got != tt.want || (err != nil) != tt.err {
			t.Errorf("%s: got %q, %v, want %q and an error: %t", tt.text, got, err, tt.want, tt.err)
		}
	}
	m := transport.Message{Data: []byte(`{"id":"1","type":"complete"}`)}
	if err := onMessage(nil, &m); err != transport.ErrComplete {
		t.Errorf("complete: got %v, want %v", err, transport.ErrComplete)
	}
	m.Data = []byte(`{"id":"1","type":"error","payload":[{"message":"a"},{"message":"b"}]}`)
	var refused *operationError
	if err := onMessage(nil, &m); !errors.As(err, &refused) || refused.Retryable() || err.Error() != "refused: a; b" {
		t.Errorf("error: got %v, want one that is not retryable: refused: a; b", err)
	}
}

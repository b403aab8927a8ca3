package client_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// numberOf reads "a5" as number 5 of key "a".
func numberOf(ev client.Event) (key string, n uint64, ok bool) {
	data := string(ev.Data)
	data = data[strings.LastIndexByte(data, ' ')+1:]
	n, err := strconv.ParseUint(data[1:], 10, 64)
	return data[:1], n, err == nil
}

// A forgotten key starts again without a gap, and the latest keys are still checked.
func TestSequenceKeysAreForgotten(t *testing.T) {
	ids := []string{"a1", "b1", "c1", "d1", "e1", "a5", "e5", "f1", "g1", "e9"}
	jump := func(to, from, missed string) string {
		return "data " + to + `: sequence jump "` + from + `" to "` + to + `", missed ` + missed
	}
	for limit, gapsWant := range map[int][]string{
		0: {jump("a5", "e1", "3"), jump("e5", "a5", "3"), jump("e9", "g1", "3")},
		4: {jump("e5", "a5", "3"), jump("e9", "g1", "3")},
		2: {jump("e5", "a5", "3")},
	} {
		synctest.Test(t, func(t *testing.T) {
			sub := subscribe(t, script(events(ids...), steps(mock.Complete())), &client.Options{SequenceOf: numberOf, SequenceKeys: limit})
			want(t, "SequenceKeys "+strconv.Itoa(limit)+": gaps", gaps(t, sub), gapsWant)
			if err := sub.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A key is forgotten, and numbered again by the old connection while its successor is opened. The
// successor's lower numbers are not those that the old connection delivered.
func TestForgottenSequenceKeyIsNotOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &succession{conns: []chan transport.Message{make(chan transport.Message), make(chan transport.Message)}, opening: make(chan struct{}), opened: make(chan struct{})}
		sub := subscribe(t, f, &client.Options{SequenceOf: numberOf, SequenceKeys: 2})
		defer sub.Close()
		send := func(conn int, data string) {
			f.conns[conn] <- transport.Message{Data: []byte(data), Token: data}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ev, err := sub.Next(ctx)
			if err != nil || string(ev.Data) != data || ev.Gap != nil {
				t.Fatalf("Next: got %q with gap %v and error %v, want %q without a gap", ev.Data, ev.Gap, err, data)
			}
			ev.Ack()
		}
		for _, data := range []string{"a100", "b1", "c1"} {
			send(0, data)
		}
		f.replace()
		<-f.opening
		send(0, "a101")
		close(f.opened)
		synctest.Wait()
		for _, data := range []string{"a50", "c2", "b7", "a51"} {
			send(1, data)
		}
	})
}

// A succession is a feed of two connections. The second one is open once opened is closed.
type succession struct {
	conns           []chan transport.Message
	replace         func()
	opening, opened chan struct{}
	opens           int
}

func (f *succession) Validate() error { return nil }

func (f *succession) Open(ctx context.Context, _ string) (*transport.Session, error) {
	if f.opens == len(f.conns) {
		return nil, transport.ErrComplete
	}
	conn := chanFeed(f.conns[f.opens])
	f.opens++
	if f.opens == 2 {
		close(f.opening)
		<-f.opened
	}
	s, err := conn.Open(ctx, "")
	s.OnExpiring = func(replace func()) { f.replace = replace }
	return s, err
}

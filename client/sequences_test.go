package client_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
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

// A successor that resumes sends what the old connection has sent since it was opened. Its events
// are recognized by position, as often as the old connection sent each, for ten seconds; and its
// positions do not move the subscription back.
func TestRepeatedPositionsOfASuccessor(t *testing.T) {
	event := func(data, token string) transport.Message { return transport.Message{Data: []byte(data), Token: token} }
	at := func(token string) transport.Message {
		return transport.Message{Kind: decode.KindPosition, Token: token}
	}
	for name, c := range map[string]struct {
		before, old, next []transport.Message // old arrives while the successor is opened
		rest              time.Duration       // before next
		data              []string
		stored            string
		resumes           bool
	}{
		"events": {
			before: []transport.Message{event("a", "1")}, old: []transport.Message{event("b", "2"), event("c", "3")},
			next: []transport.Message{event("b", "2"), event("c", "3"), event("d", "4")}, resumes: true,
			data: []string{"a", "b", "c", "d"}, stored: "4",
		},
		"one position for several": {
			before: []transport.Message{event("a", "1")}, old: []transport.Message{event("b", "2"), event("c", "2")},
			next: []transport.Message{event("b", "2"), event("c", "2"), event("d", "2"), event("e", "1")}, resumes: true,
			data: []string{"a", "b", "c", "d", "e"}, stored: "1",
		},
		"events without a position": {
			before: []transport.Message{event("a", "1")}, old: []transport.Message{event("b", "2"), event("c", "")},
			next: []transport.Message{event("b", "2"), event("c", ""), event("d", "2")}, resumes: true,
			data: []string{"a", "b", "c", "c", "d"}, stored: "2",
		},
		"positions": {
			before: []transport.Message{event("a", "1")}, old: []transport.Message{at("2"), event("b", "3")},
			next: []transport.Message{at("1"), at("2"), event("b", "3")}, resumes: true,
			data: []string{"a", "b"}, stored: "3",
		},
		"a new position": {
			before: []transport.Message{event("a", "1")}, old: []transport.Message{event("b", "2")},
			next: []transport.Message{event("b", "2"), at("5")}, resumes: true,
			data: []string{"a", "b"}, stored: "5",
		},
		"later": {
			before: []transport.Message{event("a", "1")}, old: []transport.Message{event("b", "2")},
			next: []transport.Message{event("b", "2")}, resumes: true, rest: 11 * time.Second,
			data: []string{"a", "b", "b"}, stored: "2",
		},
		"without resuming": {
			old:  []transport.Message{event("b", "1"), event("c", "2")},
			next: []transport.Message{event("d", "1"), event("e", "2")},
			data: []string{"b", "c", "d", "e"}, stored: "2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &succession{conns: []chan transport.Message{make(chan transport.Message), make(chan transport.Message)}, opening: make(chan struct{}), opened: make(chan struct{})}
				store := new(mock.Store)
				sub := subscribe(t, f, named(store))
				fol := follow(sub, 0)
				send := func(conn int, ms []transport.Message) {
					for _, m := range ms {
						f.conns[conn] <- m
					}
				}
				send(0, c.before)
				synctest.Wait()
				f.replace()
				<-f.opening
				send(0, c.old)
				close(f.opened)
				synctest.Wait()
				time.Sleep(c.rest)
				if !c.resumes {
					time.Sleep(2 * time.Second) // the old connection is read out
				}
				send(1, c.next)
				synctest.Wait()
				if err := sub.Close(); err != nil {
					t.Error(err)
				}
				<-fol.over
				want(t, "data", fol.data, c.data)
				if r := readRecord(t, store); r.Token != c.stored {
					t.Errorf("got %q stored, want %q", r.Token, c.stored)
				}
			})
		})
	}
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// fillTrace returns a Trace whose functions all append their name to calls.
func fillTrace(calls *[]string, tag string) *client.Trace {
	trace := &client.Trace{}
	v := reflect.ValueOf(trace).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		v.Field(i).Set(reflect.MakeFunc(v.Field(i).Type(), func([]reflect.Value) []reflect.Value {
			*calls = append(*calls, tag+name)
			return nil
		}))
	}
	return trace
}

// Every function of every trace is called, in order, and one that none has stays nil.
func TestJoinTraces(t *testing.T) {
	var calls, expected []string
	joined := reflect.ValueOf(client.JoinTraces(nil, fillTrace(&calls, "a"), &client.Trace{}, nil, fillTrace(&calls, "b"))).Elem()
	for i := range joined.NumField() {
		name, f := joined.Type().Field(i).Name, joined.Field(i)
		if f.IsNil() {
			t.Errorf("%s: got nil, want both", name)
			continue
		}
		var args []reflect.Value
		for j := range f.Type().NumIn() {
			args = append(args, reflect.Zero(f.Type().In(j)))
		}
		f.Call(args)
		expected = append(expected, "a"+name, "b"+name)
	}
	want(t, "calls", calls, expected)
	if client.JoinTraces() != nil || client.JoinTraces(nil, nil) != nil {
		t.Error("JoinTraces(nil, nil): got a Trace, want nil")
	}
	none := reflect.ValueOf(client.JoinTraces(&client.Trace{}, &client.Trace{})).Elem()
	for i := range none.NumField() {
		if !none.Field(i).IsNil() {
			t.Errorf("%s: got a function, want nil", none.Type().Field(i).Name)
		}
	}
}

// tries are what Trace reports of each ID.
type tries struct {
	t     *testing.T
	state map[uint64]string
	log   []string
}

func (a *tries) trace() *client.Trace {
	a.state = map[uint64]string{}
	move := func(id uint64, from, to string) {
		if a.state[id] != from && !(to == "ended" && a.state[id] == "connecting") {
			a.t.Errorf("attempt %d: got %q after %q", id, to, a.state[id])
		}
		a.state[id] = to
	}
	return &client.Trace{
		Connecting: func(i client.ConnectInfo) { move(i.ID, "", "connecting") },
		Connected:  func(i client.ConnectInfo) { move(i.ID, "connecting", "open") },
		Disconnected: func(i client.DisconnectInfo) {
			if i.Opened != (a.state[i.ID] == "open") {
				a.t.Errorf("attempt %d: got Opened %v, want %v", i.ID, i.Opened, !i.Opened)
			}
			move(i.ID, "open", "ended")
			a.log = append(a.log, fmt.Sprintf("%d planned %v handover %v", i.ID, i.Planned, i.Handover))
		},
	}
}

// Each attempt has one end, so that it can be a span: also those of handovers that come to nothing.
func TestEachAttemptHasOneEnd(t *testing.T) {
	ordinary := func() transport.Source {
		return script(events("1"), steps(mock.Drop(), mock.Status(503), mock.Refuse()), events("2"), steps(mock.End()), events("3"), steps(mock.Pause(10*time.Minute), mock.Complete()))
	}
	expiring := func(refuse func(int) error) func() transport.Source {
		return func() transport.Source {
			return &ticker{tick: time.Second, start: time.Now(), life: 2 * time.Minute, warning: time.Minute, refuse: refuse}
		}
	}
	for name, c := range map[string]struct {
		feed func() transport.Source
		act  func(*client.Subscription)
		log  []string
	}{
		"ordinary": {ordinary, nil, []string{"1 planned false handover false", "2 planned false handover false",
			"3 planned false handover false", "4 planned false handover false", "5 planned true handover false"}},
		"Reconnect": {ordinary, (*client.Subscription).Reconnect, nil},
		"handover":  {expiring(nil), nil, nil},
		"failed handover": {expiring(func(n int) error {
			if n%2 == 0 {
				return errTrouble
			}
			return nil
		}), nil, nil},
		"Reconnect in a handover": {expiring(nil), (*client.Subscription).Reconnect, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &tries{t: t}
				sub := subscribe(t, c.feed(), &client.Options{Trace: a.trace(), Retry: retry.Constant(time.Second)})
				go func() {
					for range sub.Events() {
					}
				}()
				if c.act != nil {
					for range 5 {
						time.Sleep(61 * time.Second)
						c.act(sub)
					}
				}
				time.Sleep(12 * time.Minute)
				sub.Close()
				if len(a.state) < 5 {
					t.Errorf("got %d attempts, want at least 5", len(a.state))
				}
				for id, state := range a.state {
					if state != "ended" {
						t.Errorf("attempt %d: got the state %q, want ended", id, state)
					}
				}
				if c.log != nil {
					want(t, "ends", a.log, c.log)
				}
			})
		})
	}
}

// A successor that is being opened when the subscription is closed has an end as well.
func TestAttemptOfAnAbandonedSuccessorEnds(t *testing.T) {
	for name, act := range map[string]func(*client.Subscription){"Close": func(*client.Subscription) {}, "Reconnect": (*client.Subscription).Reconnect} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &tries{t: t}
				feed := &slowOpen{ticker: ticker{tick: time.Second, start: time.Now(), life: time.Minute, warning: 30 * time.Second}}
				sub := subscribe(t, feed, &client.Options{Trace: a.trace()})
				time.Sleep(40 * time.Second)
				act(sub)
				synctest.Wait()
				sub.Close()
				if len(a.state) < 2 {
					t.Errorf("got %d attempts, want a successor", len(a.state))
				}
				for id, state := range a.state {
					if state != "ended" {
						t.Errorf("attempt %d: got the state %q, want ended", id, state)
					}
				}
			})
		})
	}
}

// StateChanged reports every change of the state with its reason, and agrees with Stats.
func TestStateChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		var last client.Transition
		failing := 0
		feed := script(events("1"), steps(mock.Drop(), mock.Status(503), mock.Status(410)), events("2", "3"), steps(mock.Pause(time.Minute), mock.Complete()))
		sub := subscribe(t, feed, &client.Options{Buffer: 1, Retry: retry.Constant(time.Second),
			Backfill: func(_ context.Context, g client.Gap, _ func(transport.Message) error) (string, error) {
				if failing++; failing == 2 {
					return "", errors.New("database is down")
				}
				return "", nil
			},
			Trace: &client.Trace{StateChanged: func(tr client.Transition) {
				last = tr
				line := fmt.Sprint(tr.State, ": ", tr.Reason)
				if tr.Err != "" {
					line += fmt.Sprintf(", %v, %v", tr.Class, tr.Delay)
				}
				changes = append(changes, line)
			}}})
		data(t, sub, 1)
		ev := next(t, sub)
		time.Sleep(40 * time.Second)
		if s := sub.Stats(); s.State != client.StateFull || last.State != s.State {
			t.Errorf("got the state %v after the transition %+v, want full in both", s.State, last)
		}
		ev.Ack()
		synctest.Wait()
		next(t, sub).Ack()
		sub.Pause()
		sub.Resume()
		sub.Reconnect()
		data(t, sub, 0)
		sub.Close()
		want(t, "changes", changes, []string{
			"backfilling: gap: start", "connecting: ", "live: connected",
			"backfilling: gap: no token", "backfilling: backfill failed, network, 1s", "live: ",
			"backing off: disconnected, network, 1s", "connecting: ", "backing off: connect failed, server, 1s", "connecting: ",
			"backing off: connect failed, token rejected, 1s", "backfilling: gap: token rejected", "connecting: ", "live: connected",
			"backfilling: gap: no token", "live: ",
			"full: no event settled", "live: events are settled again",
			"paused: Pause", "live: Resume", "connecting: Reconnect", "live: connected", "ended: complete",
		})
	})
}

// stubbornOpen opens a connection after 20 s, whether or not it is still wanted.
type stubbornOpen struct{ ticker }

func (s *stubbornOpen) Open(ctx context.Context, token string) (*transport.Session, error) {
	if token != "" {
		time.Sleep(20 * time.Second)
	}
	return s.ticker.Open(context.WithoutCancel(ctx), token)
}

// A successor that is opened although it is not wanted any more has an end as well.
func TestAttemptOfAnUnusedSuccessorEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &tries{t: t}
		feed := &stubbornOpen{ticker{tick: time.Second, start: time.Now(), life: time.Minute, warning: 30 * time.Second}}
		sub := subscribe(t, feed, &client.Options{Trace: a.trace()})
		time.Sleep(40 * time.Second)
		sub.Reconnect()
		time.Sleep(40 * time.Second)
		sub.Close()
		for id, state := range a.state {
			if state != "ended" {
				t.Errorf("attempt %d: got the state %q, want ended", id, state)
			}
		}
	})
}

package client_test

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// offering is a feed whose connections offer what they are given, and let Read bring what
// is not taken.
type offering struct {
	chanFeed
	take atomic.Pointer[func(*transport.Message) bool]
}

func newOffering() *offering { return &offering{chanFeed: make(chanFeed, 1024)} }

func (o *offering) Open(ctx context.Context, token string) (transport.Conn, error) {
	c, err := o.chanFeed.Open(ctx, token)
	return &offeringConn{c, o}, err
}

type offeringConn struct {
	transport.Conn
	feed *offering
}

func (c *offeringConn) Offer(take func(*transport.Message) bool) { c.feed.take.Store(&take) }

func event(n int) transport.Message {
	return transport.Message{ID: strconv.Itoa(n), Data: []byte(strconv.Itoa(n))}
}

func (o *offering) offer(n int) bool {
	m := event(n)
	return (*o.take.Load())(&m)
}

// TestOffer lets a connection bring events by itself until there is no space, and after
// its end.
func TestOffer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := newOffering()
		sub := subscribe(t, feed, &client.Options{Buffer: 2})
		synctest.Wait()
		taken := []bool{feed.offer(0), feed.offer(1), feed.offer(2)}
		if !taken[0] || !taken[1] || taken[2] {
			t.Fatalf("taken: %v; want two, and no third into a buffer of two", taken)
		}
		for i := range 2 {
			ev, err := sub.Next(t.Context())
			if err != nil || ev.ID != strconv.Itoa(i) {
				t.Fatalf("event %q, %v; want %d", ev.ID, err, i)
			}
			ev.Ack()
		}
		if !feed.offer(3) {
			t.Error("refused when there is space again")
		}
		sub.Close()
		if feed.offer(4) {
			t.Error("taken after the end")
		}
		if n := sub.Stats().Received; n != 3 {
			t.Errorf("%d events received, want 3", n)
		}
	})
}

// TestOfferBesideAWait offers an event while the run loop waits for space with one that it
// has read: the offer is refused without a wait, and the one that was read comes first.
func TestOfferBesideAWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		feed := newOffering()
		sub := subscribe(t, feed, &client.Options{Buffer: 1})
		defer sub.Close()
		synctest.Wait()
		feed.offer(0)
		feed.chanFeed <- event(1)
		synctest.Wait()
		if s := sub.Stats(); s.State != client.StateFull {
			t.Fatalf("the state is %v, want full", s.State)
		}
		start := time.Now()
		if feed.offer(2) || time.Since(start) > 0 {
			t.Error("taken although another event waits for the space")
		}
		for i := range 2 {
			ev, err := sub.Next(t.Context())
			if err != nil || ev.ID != strconv.Itoa(i) {
				t.Fatalf("event %q, %v; want %d", ev.ID, err, i)
			}
			ev.Ack()
			synctest.Wait()
		}
		if !feed.offer(2) {
			t.Error("refused when there is space again")
		}
	})
}

// TestOfferLeavesTheUsersFunctionsAlone subscribes with functions that may count on the
// subscription's goroutine.
func TestOfferLeavesTheUsersFunctionsAlone(t *testing.T) {
	for name, opts := range map[string]*client.Options{
		"Token":    {Token: func(client.Event) string { return "" }},
		"Skip":     {Skip: func(client.Event) bool { return false }},
		"Sequence": {Sequence: func(client.Event) (string, uint64, bool) { return "", 0, false }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				feed := newOffering()
				sub := subscribe(t, feed, opts)
				defer sub.Close()
				synctest.Wait()
				if feed.take.Load() != nil {
					t.Error("the connection may call take")
				}
			})
		})
	}
}

// TestOfferUnderLoad has goroutines offer events, and Read bring those that are not taken.
func TestOfferUnderLoad(t *testing.T) {
	const senders, each = 4, 500
	feed := newOffering()
	sub := subscribe(t, feed, &client.Options{Buffer: 16})
	for feed.take.Load() == nil {
		runtime.Gosched()
	}
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for i := range each {
				n := s*each + i
				if !feed.offer(n) {
					feed.chanFeed <- event(n)
				}
			}
		})
	}
	seen := make(map[string]int)
	for ev, err := range sub.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if seen[ev.ID]++; len(seen) == senders*each {
			break
		}
	}
	all.Wait()
	sub.Close()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("event %s came %d times", id, n)
		}
	}
}

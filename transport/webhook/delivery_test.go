package webhook_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
)

func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openHook(t, w)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		var ms []transport.Message
		for _, data := range []string{itemA, item2, itemC} {
			ms = append(ms, take(t, conn, data))
		}
		if ids := []string{ms[0].ID, ms[1].ID, ms[2].ID}; !slices.Equal(ids, []string{"a", "msg_1.1", "c"}) {
			t.Errorf("got ids %q, want a, msg_1.1, c", ids)
		}
		_ = append(ms[0].Data, "overwritten"...)
		if string(ms[1].Data) != item2 {
			t.Errorf("second event after an append to the first: got %q, want %q", ms[1].Data, item2)
		}
		if ms[0].Delivery == nil || ms[0].Delivery != ms[2].Delivery {
			t.Error("got different Deliveries for the events of a batch, want one")
		}
		ms[2].Settle(nil)
		ms[0].Settle(nil)
		ms[0].Settle(nil)
		unanswered(t, a)
		ms[1].Settle(nil)
		wantStatus(t, a, 204)
		repeat(t, w, "msg_1", batch)
	})
}

func TestBatchResumesAfterFailure(t *testing.T) {
	fail := map[string]func(conn *inbox, m transport.Message){
		"refused":       func(_ *inbox, m transport.Message) { m.Settle(errors.New("no")) },
		"closed":        func(conn *inbox, _ transport.Message) { conn.Close() },
		"never settled": func(*inbox, transport.Message) { time.Sleep(time.Hour) },
	}
	for name, fail := range fail {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: batches()}
				conn := openHook(t, w)
				a := post(w, sign(t, w.Provider, "msg_1", batch))
				take(t, conn, itemA).Settle(nil)
				m2 := take(t, conn, item2)
				take(t, conn, itemC).Settle(nil)
				fail(conn, m2)
				wantStatus(t, a, 503)

				conn.Close()
				conn = openHook(t, w)
				a = post(w, sign(t, w.Provider, "msg_1", batch))
				m := take(t, conn, item2)
				if m.ID != "msg_1.1" {
					t.Errorf("got id %q, want msg_1.1", m.ID)
				}
				m.Settle(nil)
				wantStatus(t, a, 204)
				repeat(t, w, "msg_1", batch)
			})
		})
	}
}

// Only an event that is equal in every respect is skipped.
func TestBatchSkipsOnlyEqualEvents(t *testing.T) {
	tests := map[string]struct {
		first, again string   // the first event of first is acknowledged, the second refused
		want         []string // of again
	}{
		"the same": {
			`[{"id":"a"}, {"n":2}]`, `[{"id":"a"}, {"n":2}]`, []string{`{"n":2}`},
		},
		"ids that repeat": {
			`[{"id":"a"}, {"id":"a"}]`, `[{"id":"a"}, {"id":"a"}]`, []string{`{"id":"a"}`},
		},
		"other data": {
			`[{"n":1}, {"n":2}]`, `[{"n":0}, {"n":2}]`, []string{`{"n":0}`, `{"n":2}`},
		},
		"another order": {
			`[{"id":"a"}, {"id":"b"}]`, `[{"id":"b"}, {"id":"a"}]`, []string{`{"id":"b"}`, `{"id":"a"}`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: batches()}
				conn := openHook(t, w)
				a := post(w, sign(t, w.Provider, "msg_1", test.first))
				read(t, conn).Settle(nil)
				read(t, conn).Settle(errors.New("no"))
				wantStatus(t, a, 503)

				a = post(w, sign(t, w.Provider, "msg_1", test.again))
				for _, want := range test.want {
					take(t, conn, want).Settle(nil)
				}
				wantStatus(t, a, 204)
			})
		})
	}
}

func TestCloseDuringAPartlyAcceptedBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		m := take(t, conn, itemA)
		synctest.Wait()
		start := time.Now()
		conn.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v for a batch that can no longer be settled, want none", d)
		}
		wantStatus(t, a, 503)
		m.Settle(nil) // after the answer

		conn = openHook(t, w)
		a = post(w, sign(t, w.Provider, "msg_1", batch))
		take(t, conn, item2).Settle(nil)
		take(t, conn, itemC).Settle(nil)
		wantStatus(t, a, 204)
	})
}

func TestEmptyBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		openHook(t, w)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", `[]`)), 204)
	})
}

// The rest of a batch that fits only in part is offered again when one of its events is settled.
func TestBatchLargerThanTheBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		for _, data := range []string{itemA, item2, itemC} {
			m := take(t, conn, data)
			unanswered(t, a)
			if n := len(conn.queue); n != 0 {
				t.Fatalf("got %d events before %s was settled, want none", n, data)
			}
			m.Settle(nil)
			synctest.Wait()
		}
		wantStatus(t, a, 204)
		repeat(t, w, "msg_1", batch)
	})
}

// A refused event makes space for the others too.
func TestBatchLargerThanTheBufferIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		take(t, conn, itemA).Settle(errors.New("no"))
		take(t, conn, item2).Settle(nil)
		take(t, conn, itemC).Settle(nil)
		wantStatus(t, a, 503)
		a = post(w, sign(t, w.Provider, "msg_1", batch))
		if m := take(t, conn, itemA); m.Attempt != 2 {
			t.Errorf("Attempt: got %d, want 2", m.Attempt)
		} else {
			m.Settle(nil)
		}
		wantStatus(t, a, 204)
	})
}

// If nothing of a batch is outstanding and there is no space, its request is refused at once. The
// events that were acknowledged are skipped when it is repeated.
func TestBatchWithoutSpaceIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		m := take(t, conn, itemA)
		conn.busy.Store(true)
		start := time.Now()
		m.Settle(nil)
		wantStatus(t, a, 503)
		if d := time.Since(start); d != 0 {
			t.Errorf("got the answer after %v, want at once", d)
		}
		conn.busy.Store(false)
		a = post(w, sign(t, w.Provider, "msg_1", batch))
		take(t, conn, item2).Settle(nil)
		take(t, conn, itemC).Settle(nil)
		wantStatus(t, a, 204)
	})
}

// With AckOnEnqueue no event is settled: the rest is offered until the deadline.
func TestBatchLargerThanTheBufferOnEnqueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches(), Ack: webhook.AckOnEnqueue}
		w.Provider.Deadline = 3 * time.Second
		conn := openBuffer(t, w, 1)
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		take(t, conn, itemA)
		unanswered(t, a)
		start := time.Now()
		wantStatus(t, a, 503) // item2 is in the buffer
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("got the answer after %v, want 3s", d)
		}
		take(t, conn, item2)
		wantStatus(t, post(w, sign(t, w.Provider, "msg_1", batch)), 204)
		take(t, conn, itemC)
		if n := len(conn.queue); n != 0 {
			t.Errorf("got %d events again, want none", n)
		}
	})
}

// If the request that offers the rest of a batch ends, one that repeats it takes over.
func TestRemainingRequestOffersTheBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		ctx, cancel := context.WithCancel(t.Context())
		gone := post(w, sign(t, w.Provider, "msg_1", batch).WithContext(ctx))
		synctest.Wait()
		m := take(t, conn, itemA)
		conn.busy.Store(true)
		second := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		cancel()
		wantStatus(t, gone, 503)
		unanswered(t, second)
		conn.busy.Store(false)
		m.Settle(nil)
		take(t, conn, item2).Settle(nil)
		take(t, conn, itemC).Settle(nil)
		wantStatus(t, second, 204)
	})
}

// The rest of a batch whose request has ended is dropped once the delivered events are settled. The
// repeated delivery brings it again.
func TestBatchWithoutARequestIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &webhook.Receiver{Provider: batches()}
		conn := openBuffer(t, w, 1)
		ctx, cancel := context.WithCancel(t.Context())
		gone := post(w, sign(t, w.Provider, "msg_1", batch).WithContext(ctx))
		synctest.Wait()
		m := take(t, conn, itemA)
		synctest.Wait()
		cancel()
		wantStatus(t, gone, 503)
		m.Settle(nil)
		if n := len(conn.queue); n != 0 {
			t.Fatalf("got %d events without a request, want none", n)
		}
		a := post(w, sign(t, w.Provider, "msg_1", batch))
		synctest.Wait()
		take(t, conn, item2).Settle(nil)
		take(t, conn, itemC).Settle(nil)
		wantStatus(t, a, 204)
	})
}

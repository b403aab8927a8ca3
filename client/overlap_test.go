package client_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// What a successor repeats is recognized however long the consumer keeps it from being read, or the
// position would go back.
func TestHandoverWhileTheConsumerWaits(t *testing.T) {
	for _, json := range []bool{false, true} {
		for _, pauses := range []bool{false, true} {
			t.Run(fmt.Sprintf("JSON %t, pause %t", json, pauses), func(t *testing.T) {
				m := &meter{tick: tenth, json: json, latency: 5 * time.Second}
				onMeter(t, m, func(h *transport.HTTP, o *client.Options) {
					h.MaxConnectionAge, o.Buffer = time.Minute, 20
					if json {
						h.Resume = transport.ResumeHeader("Last-Event-ID")
					}
				}, func(t *testing.T, sub *client.Subscription) {
					exact(t, sub, 660) // a successor is being opened by now
					next := 660        // which the end of the loop has not acknowledged
					if pauses {
						sub.Pause()
						time.AfterFunc(time.Minute, sub.Resume)
					} else {
						time.Sleep(time.Minute)
					}
					for ev, err := range sub.Events() {
						if n := seqOfN(ev); err != nil || n != next || ev.Gap != nil {
							t.Fatalf("got event %d with gap %v and %v, want %d", n, ev.Gap, err, next)
						}
						if next++; next > 1000 {
							break
						}
					}
					if s := sub.Stats(); s.Duplicates == 0 || s.Handovers == 0 {
						t.Errorf("got %d duplicates and %d handovers, want some", s.Duplicates, s.Handovers)
					}
				})
			})
		}
	}
}

// A successor breaks, and the server has lost its history and counts anew: its events are not those of
// the connection that was replaced.
func TestIDsStartAgainAfterAHandover(t *testing.T) {
	requests := 0
	m := &meter{tick: time.Second, latency: 3 * time.Second, answer: func(m *meter, w http.ResponseWriter, r *http.Request) bool {
		m.mu.Lock()
		requests++
		n := requests
		m.mu.Unlock()
		switch n {
		case 1:
			return false
		case 3:
			w.WriteHeader(http.StatusGone)
			return true
		}
		w.Header().Set("Content-Type", sse)
		w.(http.Flusher).Flush()
		if n > 3 {
			for i := 55; i < 75; i++ {
				fmt.Fprintf(w, "id: %d\ndata: {\"n\":%[1]d}\n\n", i)
			}
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
		return true
	}}
	onMeter(t, m, func(h *transport.HTTP, o *client.Options) { h.MaxConnectionAge = time.Minute }, func(t *testing.T, sub *client.Subscription) {
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Gap == nil {
				continue
			}
			if n := seqOfN(ev); n != 55 || ev.Gap.Reason != transport.GapTokenRejected || sub.Stats().Handovers != 1 {
				t.Errorf("got event %d with %v after %d handovers, want event 55 after one", n, ev.Gap, sub.Stats().Handovers)
			}
			return
		}
	})
}

// What a backfill delivers is not taken for an event that both connections have sent.
func TestBackfillAfterAHandover(t *testing.T) {
	m := &meter{tick: tenth, live: true}
	asked, delivered, at := 0, 0, 0
	onMeter(t, m, func(h *transport.HTTP, o *client.Options) {
		h.MaxConnectionAge = time.Minute
		h.OnMessage = func(m *transport.Message) error {
			n := seqOfN(client.Event{Data: m.Data})
			if m.ID = fmt.Sprint(n); n > 580 && n%5 == 0 {
				m.Gap, at = &transport.Gap{Reason: transport.GapNotice}, n
			}
			return nil
		}
		o.SequenceOf = func(ev client.Event) (string, uint64, bool) { return "", uint64(seqOfN(ev)), true }
		o.Backfill = func(ctx context.Context, gap client.Gap, deliver func(transport.Message) error) (string, error) {
			if gap.Reason != transport.GapNotice {
				return "", nil
			}
			asked++
			state := fmt.Appendf(nil, `{"n":%d}`, at-1)
			return "", deliver(transport.Message{Type: "state", ID: fmt.Sprint(at - 6), Data: state}) // the old connection may have sent the id
		}
	}, func(t *testing.T, sub *client.Subscription) {
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Type == "state" {
				delivered++
			}
			if seqOfN(ev) == 702 {
				break
			}
		}
		if asked < 20 || delivered != asked || sub.Stats().Handovers != 1 {
			t.Errorf("got %d of %d states and %d handovers, want all and one", delivered, asked, sub.Stats().Handovers)
		}
	})
}

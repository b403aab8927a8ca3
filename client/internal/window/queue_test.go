package window

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
)

// enqueue adds and publishes the events from..to-1, with one byte of data and their number as token.
func enqueue(t testing.TB, w *Window, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if !w.Fits(1) {
			t.Fatalf("Fits: got false for event %d, want true", i)
		}
		w.Enqueue(&Entry{Token: strconv.Itoa(i), Data: []byte{byte(i)}}, "", strconv.Itoa(i-1))
	}
	w.publish()
}

func queued(maxEvents, maxBytes int) *Window {
	w := New(maxEvents, maxBytes)
	w.UseQueue("start")
	return w
}

func TestDroppedEventsLeaveNothing(t *testing.T) {
	w := queued(4, 1000)
	enqueue(t, w, 0, 4)
	stuck, _ := claim(w)
	for i := 4; i < 10_000; i++ {
		if d, ok := w.DropOldest(1); !ok || d.Slot.Token != strconv.Itoa(i-3) || d.IsNew != (i == 4) {
			t.Fatalf("DropOldest: got %+v (%v), want event %d", d, ok, i-3)
		}
		enqueue(t, w, i, i+1)
	}
	if n := heldSegments(w); n > 1 || len(*w.directory.Load()) != leastSegments {
		t.Errorf("got %d segments and a directory for %d after 10,000 drops, want 1 and %d", n, len(*w.directory.Load()), leastSegments)
	}
	e, _ := claim(w)
	g := e.Rare().Gap
	if e.Token != "9997" || g == nil || g.Reason != transport.GapOverflow || g.From != "0" || g.To != "9997" || g.Missed != 9996 {
		t.Errorf("got event %s with %+v, want 9997 after the loss of 9996 events after 0", e.Token, g)
	}
	w.Settle(&e.Claim)
	if n, token := w.Low(); n != 0 || token != "" {
		t.Errorf("low mark: got %d %q before the first event is settled, want 0", n, token)
	}
	w.Settle(&stuck.Claim)
	if n, token := w.Low(); n != 2 || token != "9997" {
		t.Errorf("low mark: got %d %q, want 2 events and token 9997", n, token)
	}
}

// The token of a dropped event is no position before the event that reports the loss.
func TestLowDoesNotPassALoss(t *testing.T) {
	w := queued(3, 1000)
	w.StagePosition("p")
	enqueue(t, w, 1, 2)
	w.StagePosition("q")
	enqueue(t, w, 2, 4)
	if _, ok := w.DropOldest(1); !ok {
		t.Fatal("DropOldest: got false, want true")
	}
	enqueue(t, w, 4, 5)
	if _, token := w.Low(); token != "" && token != "p" {
		t.Errorf("low mark: got %q, want nothing after p", token)
	}
	e, _ := claim(w)
	if _, token := w.Low(); e.Token != "2" || token != "p" {
		t.Errorf("got event %s and low mark %q, want 2 and p", e.Token, token)
	}
	w.Settle(&e.Claim)
	if _, token := w.Low(); token != "2" {
		t.Errorf("low mark: got %q, want 2", token)
	}
}

// The loss and the flag of the only event that waits belong to the next one.
func TestDropOfTheOnlyEvent(t *testing.T) {
	w := queued(2, 1000)
	enqueue(t, w, 0, 1)
	first, _ := claim(w)
	w.Enqueue(&Entry{Token: "1", Rare: Rare{CaughtUp: true, Gap: &transport.Gap{Reason: transport.GapNotice, From: "0", Missed: 5}}}, "", "0")
	w.StagePosition("lost")
	w.publish()
	d, ok := w.DropOldest(1)
	if !ok || d.IsNew || !d.CaughtUp || d.Loss == nil || d.Loss.Reason != transport.GapNotice || d.Loss.Missed != 6 {
		t.Fatalf("DropOldest: got %+v (%v), want a notice of 6 events and CaughtUp", d, ok)
	}
	w.Settle(&first.Claim)
	if _, token := w.Low(); token != "0" {
		t.Errorf("low mark: got %q, want 0", token)
	}
	if _, ok := w.DropOldest(1); ok {
		t.Error("DropOldest: got true for an empty queue")
	}
}

func TestDropMakesRoomForBytes(t *testing.T) {
	w := queued(100, 10)
	put := func(token string, size int) {
		w.Enqueue(&Entry{Token: token, Data: make([]byte, size)}, "", "")
		w.publish()
	}
	put("a", 4)
	a, _ := claim(w)
	put("b", 3)
	put("c", 3)
	if d, ok := w.DropOldest(6); !ok || d.Slot.Token != "b" {
		t.Errorf("got %+v (%v), want the drop of b", d, ok)
	}
	if d, ok := w.DropOldest(7); ok { // c's place would not be enough
		t.Errorf("got the drop of %s for 7 bytes beside 4 in hand, want none", d.Slot.Token)
	}
	if w.Settle(&a.Claim); !w.Fits(7) || w.Fits(8) {
		t.Error("Fits: got another limit than 7 bytes beside 3")
	}
	if d, ok := w.DropOldest(1000); !ok || d.Slot.Token != "c" || !w.Fits(1000) {
		t.Errorf("got %+v (%v), want the drop of c for a large event alone", d, ok)
	}
}

func TestReplace(t *testing.T) {
	w := queued(4, 20)
	put := func(key, token string, size int) (replaced bool) {
		e := &Entry{Token: token, Data: make([]byte, size)}
		if _, replaced = w.Replace(e, key); !replaced {
			w.Enqueue(e, key, "")
		}
		w.publish()
		return replaced
	}
	put("a", "1", 5)
	put("b", "2", 5)
	if !put("a", "3", 6) || !put("a", "4", 6) {
		t.Fatal("Replace: got false for a key that waits, want true")
	}
	if _, ok := w.Replace(&Entry{Data: make([]byte, 16)}, "a"); ok {
		t.Fatal("Replace: got true beyond the limit of bytes, want false")
	}
	a, _ := claim(w)
	if a.Token != "4" || a.Rare().Replaced != 2 {
		t.Fatalf("got %s, which has replaced %d, want 4 and 2", a.Token, a.Rare().Replaced)
	}
	if put("a", "5", 1) {
		t.Error("Replace: got true for an event in hand, want false")
	}
	w.Settle(&a.Claim)
	if _, token := w.Low(); token != "1" { // 2 is not settled
		t.Errorf("low mark: got %q, want 1", token)
	}
	b, _ := claim(w)
	w.Settle(&b.Claim)
	if _, token := w.Low(); token != "4" {
		t.Errorf("low mark: got %q, want 4", token)
	}
	last, _ := claim(w)
	w.Settle(&last.Claim)
	if n, token := w.Low(); n != 3 || token != "5" {
		t.Errorf("low mark: got %d %q, want 3 events and token 5", n, token)
	}
	put("c", "6", 1)
	w.Enqueue(&Entry{Token: "7", Rare: Rare{Gap: new(transport.Gap)}}, "d", "6")
	if put("c", "8", 1) {
		t.Error("Replace: got true for a place before a Gap, want false")
	}
}

// An event that is claimed before an earlier one does not move the low mark past that one.
func TestClaimOutOfOrder(t *testing.T) {
	w := queued(10, 1000)
	enqueue(t, w, 1, 5)
	at := func(n uint64) *Place {
		p := &Place{N: n - 1}
		if !w.Look(p, w) {
			t.Fatalf("Look: found nothing at %d", n)
		}
		return p
	}
	var third, second Claim
	p := at(3)
	if w.ClaimAt(&third, p) == nil || w.ClaimAt(&second, p) != nil || p.N != 2 {
		t.Fatal("ClaimAt: want the event once")
	}
	w.Settle(&third)
	if n, token := w.Low(); n != 1 || token != "start" {
		t.Errorf("low mark: got %d %q, want 1 event and the token before", n, token)
	}
	p = at(2)
	p.Key = "k"
	w.Note(p, w)
	if p = at(2); !p.Keyed || p.Key != "k" {
		t.Errorf("got key %q (%v), want the one that was noted", p.Key, p.Keyed)
	}
	if w.Look(p, t); p.Keyed {
		t.Error("got a key that another owner has noted")
	}
	first, _ := claim(w)
	w.Settle(&first.Claim)
	if _, token := w.Low(); token != "1" {
		t.Errorf("low mark: got %q, want 1", token)
	}
	if w.ClaimAt(&second, at(2)) == nil {
		t.Fatal("ClaimAt: got nil")
	}
	w.Settle(&second)
	if n, token := w.Low(); n != 3 || token != "2" && token != "3" {
		t.Errorf("low mark: got %d %q, want 3 events and token 3", n, token)
	}
	last, _ := claim(w)
	if _, token := w.Low(); token != "3" {
		t.Errorf("low mark: got %q, want 3", token)
	}
	w.Settle(&last.Claim)
	if _, token := w.Low(); token != "4" {
		t.Errorf("low mark: got %q, want 4", token)
	}
}

func TestMarkWithAQueue(t *testing.T) {
	w := queued(3, 1000)
	enqueue(t, w, 0, 3)
	w.SetMark()
	first, _ := claim(w)
	w.Settle(&first.Claim)
	enqueue(t, w, 3, 4)
	w.DropOldest(1)
	enqueue(t, w, 4, 5)
	if w.IsMarkSettled() {
		t.Error("got true while an event before the mark waits, want false")
	}
	w.DropOldest(1)
	if !w.IsMarkSettled() {
		t.Error("got false after the last event before the mark was dropped, want true")
	}
}

// Consumers claim, in any order, return and settle while the producer drops and replaces. Every event
// is settled, dropped or replaced, and low never passes one that is neither.
func TestQueueUnderLoad(t *testing.T) {
	for _, latest := range []bool{false, true} {
		t.Run(fmt.Sprint("latest ", latest), func(t *testing.T) {
			const n = 5_000
			w := queued(16, 1000)
			var mu sync.Mutex
			gone := make([]bool, n+1) // settled, or dropped
			seen, missed := 0, 0
			var consumers sync.WaitGroup
			stop := make(chan struct{})
			for c := range 3 {
				rng := rand.New(rand.NewPCG(1, uint64(c)))
				consumers.Go(func() {
					for {
						var e event
						if p := (Place{}); rng.IntN(3) == 0 {
							found := false
							for range 1 + rng.IntN(3) {
								if found = w.Look(&p, w); !found {
									break
								}
							}
							if found {
								e.Slot = w.ClaimAt(&e.Claim, &p)
							}
						}
						if e.Slot == nil {
							e.Slot = w.Claim(&e.Claim)
						}
						if e.Slot == nil {
							select {
							case <-stop:
								if w.Backlog().Events == 0 {
									return
								}
							default:
							}
							continue
						}
						i, _ := strconv.Atoi(e.Type)
						mu.Lock()
						gone[i] = true
						seen++
						if r := e.Rare(); r != nil {
							missed += r.Replaced
							if r.Gap != nil {
								missed += int(r.Gap.Missed)
							}
						}
						mu.Unlock()
						w.Settle(&e.Claim)
					}
				})
			}
			lost, before := 0, "start"
			for i := 1; i <= n; i++ {
				e := &Entry{Type: strconv.Itoa(i), Token: strconv.Itoa(i), Data: []byte{1}}
				mu.Lock()
				if latest {
					if old, ok := w.Replace(e, strconv.Itoa(i%10)); ok {
						o, _ := strconv.Atoi(old.Type)
						gone[o] = true
						mu.Unlock()
						continue
					}
				} else if d, ok := w.DropOldest(1); ok {
					o, _ := strconv.Atoi(d.Slot.Type)
					gone[o] = true
					if d.Loss != nil {
						e.Gap = d.Loss
					}
				}
				mu.Unlock()
				for !w.Fits(1) {
					if !latest {
						break
					}
				}
				if !latest && !w.Fits(1) {
					mu.Lock()
					gone[i] = true
					mu.Unlock()
					if lost++; e.Gap != nil {
						lost += int(e.Gap.Missed)
					}
					continue
				}
				w.Enqueue(e, strconv.Itoa(i%10), before)
				before = e.Token
				w.publish()
				if i%64 == 0 {
					mu.Lock()
					_, token := w.Low()
					at, _ := strconv.Atoi(token)
					for j := 1; j <= at; j++ {
						if !gone[j] {
							t.Errorf("low mark %d passes event %d", at, j)
							break
						}
					}
					mu.Unlock()
				}
			}
			w.publish()
			close(stop)
			consumers.Wait()
			if seen+missed+lost != n {
				t.Errorf("got %d events, %d missed before one, and %d after the last, want %d in sum", seen, missed, lost, n)
			}
		})
	}
}

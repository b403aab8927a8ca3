package window

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// A held event is settled by its holder alone, and low does not pass it before.
func TestHoldKeepsAnEvent(t *testing.T) {
	w := New(10, 1000)
	fill(t, w, 0, 3)
	evs := claimAll(w)
	if !w.Hold(&evs[0].Claim) || w.Hold(&evs[0].Claim) {
		t.Error("Hold twice: want true, then false")
	}
	if w.Settle(&evs[0].Claim) || w.GiveBack(&evs[0].Claim, time.Now()) {
		t.Error("Settle or GiveBack of a held event: got true, want false")
	}
	w.Settle(&evs[1].Claim)
	w.Settle(&evs[2].Claim)
	if w.Hold(&evs[2].Claim) {
		t.Error("Hold of a settled event: got true, want false")
	}
	if low, _ := w.Low(); low != 0 {
		t.Errorf("low with a held event: got %d, want 0", low)
	}
	w.SettleHeld(&evs[0].Claim)
	w.SettleHeld(&evs[0].Claim)
	if low, _ := w.Low(); low != 3 || w.held.Load() != 0 {
		t.Errorf("after SettleHeld: got low %d and %d held, want 3 and 0", low, w.held.Load())
	}
}

// The window ends for each consumer only when the last held event is settled.
func TestEndWaitsForHeldEvents(t *testing.T) {
	for _, early := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := New(10, 1000)
			fill(t, w, 0, 1)
			evs := claimAll(w)
			if early {
				w.End()
			}
			w.Hold(&evs[0].Claim)
			ends := make(chan time.Time, 2)
			for range 2 {
				go func() {
					for w.Wait(context.Background(), nil, false) != io.EOF {
					}
					ends <- time.Now()
				}()
			}
			start := time.Now()
			if !early {
				time.AfterFunc(time.Second, w.End)
			}
			time.AfterFunc(time.Minute, func() { w.SettleHeld(&evs[0].Claim) })
			for range 2 {
				if d := (<-ends).Sub(start); d != time.Minute {
					t.Errorf("the window ended after %v, want 1m0s", d)
				}
			}
		})
	}
}

// An event that was claimed and not seen keeps its attempt, and comes before later ones.
func TestUnclaimIsNoAttempt(t *testing.T) {
	w := New(10, 1000)
	fill(t, w, 0, 3)
	a, _ := claim(w)
	b, _ := claim(w)
	w.Hold(&a.Claim)
	w.Unclaim(&b.Claim, time.Now())
	w.Release(&a.Claim, time.Now())
	for i, attempt := range []int{2, 1, 1} {
		e, ok := claim(w)
		if !ok || e.Token != string(rune('0'+i)) || e.Attempt() != attempt {
			t.Fatalf("claim %d: got %q in attempt %d, want %d in attempt %d", i, e.Token, e.Attempt(), i, attempt)
		}
		if !w.Settle(&e.Claim) {
			t.Errorf("Settle of event %d: got false, want true", i)
		}
	}
	if w.Settle(&a.Claim) {
		t.Error("Settle by an earlier attempt: got true, want false")
	}
}

// Each attempt of a held event is a new claim.
func TestRetakeIsTheNextAttempt(t *testing.T) {
	w := New(10, 1000)
	fill(t, w, 0, 1)
	a, _ := claim(w)
	was := a.Claim
	w.Hold(&a.Claim)
	if w.Retake(&a.Claim); a.Attempt() != 2 || w.held.Load() != 0 {
		t.Errorf("got attempt %d with %d held, want 2 and 0", a.Attempt(), w.held.Load())
	}
	if w.Settle(&was) || !w.Settle(&a.Claim) {
		t.Error("want Settle to succeed in the second attempt only")
	}
}

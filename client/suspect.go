package client

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"time"
)

// An event that ends the process is never refused: each restart meets it again. The record counts the
// takeovers since the position has moved. After suspectAfter owners in a row that ended without
// progress, one event is handed out at a time until the position moves: the first one is the suspect.
// With a DeadLetter, the record names it before it is handed out. If that owner dies too, its
// successor dead-letters the event.
//
// A takeover from an owner that lives is no crash. An owner that has named a suspect changes the
// record every beat, so its successor finds out by watching the record for a while.
const suspectAfter = 3

// suspects are the events of a subscription whose predecessors died without progress.
type suspects struct {
	sub     *Subscription
	crashes int         // owners in a row that ended without progress
	start   string      // the token to get beyond
	proven  string      // the fingerprint of the event that the predecessor died of; "" if not known
	over    atomic.Bool // the position has moved
	named   atomic.Bool // the first suspect was reported
}

// newSuspects returns nil unless the record has been taken over too often without progress.
func newSuspects(s *Subscription, l *ledger) *suspects {
	if l.rec.Takeovers <= suspectAfter { // the first one was from an owner that made progress
		return nil
	}
	s.window.SetAlone(true)
	return &suspects{sub: s, crashes: int(l.rec.Takeovers - 1), start: l.rec.Token, proven: l.rec.Suspect}
}

// examine looks at an event that was claimed, before a consumer gets it. It returns false if the
// consumer does not get it: because it is dead-lettered, or because the subscription has ended. ctx bounds
// the wait for the record.
func (u *suspects) examine(ctx context.Context, ev *Event) bool {
	if u == nil || u.over.Load() {
		return true
	}
	s := u.sub
	if !u.named.Swap(true) {
		s.report.suspected(ev, u.crashes)
	}
	if s.letters == nil || s.opts.CommitEvery < 0 {
		return true
	}
	mark := fingerprint(ev)
	if mark == u.proven {
		s.deadLetter(ev, fmt.Errorf("client: the process ended %d times at this event, the last time while it handled no other", u.crashes), nil)
		return false
	}
	s.checkpoint.mark(ctx, mark) // if it fails, this attempt proves nothing
	if !s.checkpoint.holds() || s.ctx.Err() != nil {
		s.window.Unclaim(&ev.claim, time.Now())
		return false
	}
	return true
}

// refused withdraws the suspicion for now: the process has survived the event.
func (u *suspects) refused() {
	if u.isActive() {
		u.sub.checkpoint.unmark()
	}
}

// settled is called after an event was settled. Once the position has moved, events are handed out as
// usual.
func (u *suspects) settled() {
	if u == nil || u.over.Load() {
		return
	}
	if events, token := u.sub.window.Low(); events > 0 && (token != u.start || u.start == "") {
		u.over.Store(true)
		u.sub.window.SetAlone(false)
		u.sub.checkpoint.unmark()
	}
}

// isActive reports whether there is a suspect.
func (u *suspects) isActive() bool { return u != nil && !u.over.Load() }

// fingerprint identifies an event without showing what it contains.
func fingerprint(ev *Event) string {
	h := sha256.New()
	for _, part := range [...]string{ev.Token, ev.ID, ev.Type, string(ev.Data)} {
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

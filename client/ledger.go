package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A ledger keeps one record in a Store: it takes the record over, writes it, and finds out what the
// Store holds when the outcome of a write is not known. Except for final, crash and release, it
// is used by one goroutine at a time.
type ledger struct {
	store      Store
	key        string
	commitOnly bool           // Save is called for Commit and at the end only
	report     func(SaveInfo) // called after each attempt to save
	stop       func(error)    // ends the subscription

	base  uint64      // events acknowledged before this subscription
	final atomic.Bool // the subscription ends
	crash atomic.Bool // it ends because of a panic
	fatal error       // why this subscription no longer owns the record

	// contested is called when a takeover has to wait, and awaited when it waits because of a suspect.
	contested func(takeovers uint, owner string, atMost time.Duration)
	awaited   func(owner string, atMost time.Duration)

	startAfter string // Options.StartAfter
	overrideID string // Options.OverrideID
	overrides  bool   // the takeover has replaced a stored position

	buries  bool   // there is a DeadLetter for a suspect
	start   string // the token at the takeover
	suspect string // to be stored

	tenure   *tenure // nil if there is no lease to keep or to wait for
	over     string  // the version of a record whose lease is over
	seen     uint64  // epoch of the lease that a standby waits for; 0 if there is none
	claimed  record  // by the last takeover, whose outcome may not be known
	replaced record  // by claimed
	standsBy func(owner record)
	release  atomic.Bool // the lease ends with the next save

	rec     record // the last one known to be stored
	version string
	durable bool      // a Save returned nil for rec; a record that was only read back may be lost
	writes  uint64    // numbers of writes used; none is used twice, because a save may land late
	unknown bool      // the outcome of the last write is not known
	taken   time.Time // when the record was taken over
	lost    int       // reads in a row that did not return our record
	since   time.Time // when the first of them ended
}

const (
	// A read may be stale for a while. A record that is still not ours after maxLost reads and
	// lostWait is lost.
	maxLost  = 5
	lostWait = 10 * time.Second
)

// save stores the low mark unless the record already covers it. beat forces a change of the record
// if beats requires one.
func (l *ledger) save(ctx context.Context, events uint64, token string, beat bool) error {
	if l.fatal != nil {
		return l.fatal
	}
	next := l.rec
	next.Saved = time.Now().UTC()
	idle := events == 0 && token == "" // nothing is acknowledged yet
	if !idle {
		next.Token, next.Events = token, l.base+events
	}
	if l.isSettled() {
		next.Contest = 0
	}
	next.Released = next.Lease > 0 && l.release.Load()
	next.Suspect = l.suspect
	if l.final.Load() && !l.crash.Load() || next.Token != l.start || next.Events > l.base && l.start == "" {
		next.Takeovers, next.Suspect = 0, ""
	}
	done := idle || l.durable && l.rec.Token == next.Token && l.rec.Events == next.Events
	done = done && l.rec.Suspect == next.Suspect
	ends := next.Released && !l.rec.Released
	if !l.unknown && done && !ends && !(beat && l.beats()) {
		return nil
	}
	start := time.Now()
	err := l.write(ctx, next)
	l.report(SaveInfo{Err: err, Events: next.Events, Took: time.Since(start)})
	if done && l.final.Load() && l.fatal == nil {
		return nil // the write was only needed to end a contest, a count or a lease
	}
	return err
}

// write stores next. If a write fails, its outcome is found by reading back: a write counts as
// stored or lost only once a read has confirmed it. A record that has landed may not be durable,
// because the read may have come from a cache: it is written once more.
func (l *ledger) write(ctx context.Context, next record) error {
	if l.unknown {
		if err := l.readBack(ctx); err != nil {
			return err
		}
	}
	landed, err := l.put(ctx, next)
	if landed {
		_, err = l.put(ctx, next)
	}
	return err
}

// put saves next under a new number. landed reports that Save failed but the store returns next.
func (l *ledger) put(ctx context.Context, next record) (landed bool, err error) {
	l.writes++
	next.Write = l.writes
	sent := time.Now()
	version, err := l.store.Save(ctx, l.key, next.encode(), l.version)
	if err == nil {
		l.tenure.renew(sent)
		l.rec, l.version, l.durable = next, version, true
		return false, nil
	}
	l.unknown, l.durable = true, false
	if rerr := l.readBack(ctx); l.fatal != nil {
		return false, rerr
	}
	return !l.unknown && l.rec.Write == next.Write, &CheckpointError{l.key, "save", err}
}

// readBack sets rec and version to what the store holds. It returns an error if that is not known
// or not ours.
func (l *ledger) readBack(ctx context.Context) error {
	data, version, err := l.store.Load(ctx, l.key)
	if err != nil {
		return &CheckpointError{l.key, "load", err}
	}
	stored, perr := parseRecord(data)
	switch {
	case perr == nil && stored.sameWriter(l.rec) && stored.Write >= l.rec.Write:
		l.rec, l.version, l.unknown, l.lost = stored, version, false, 0
		return nil
	case perr == nil && stored.Epoch >= l.rec.Epoch && !stored.sameWriter(l.rec):
		l.fail(ErrFenced)
		return ErrFenced
	}
	if err = l.older(l.rec.Epoch); l.isLost() {
		l.fail(err)
	}
	return err
}

// older counts a read that did not return the record of an epoch, and returns its error, which is
// errLost after maxLost of them in a row.
func (l *ledger) older(epoch uint64) error {
	if l.lost++; l.lost == 1 {
		l.since = time.Now()
	}
	if l.lost < maxLost {
		return &CheckpointError{l.key, "load", errors.New("the record is older than before; the read may be stale")}
	}
	return &CheckpointError{l.key, "load", fmt.Errorf("%w: the record of epoch %d is gone", errLost, epoch)}
}

// isLost reports whether reads have been older for so long that the record is lost.
func (l *ledger) isLost() bool { return l.lost >= maxLost && time.Since(l.since) >= lostWait }

// fail ends the subscription because it no longer owns its position.
func (l *ledger) fail(err error) {
	if l.fatal == nil {
		l.fatal = err
		l.stop(err)
	}
}

var errLost = errors.New("the store has lost data")

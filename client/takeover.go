package client

import (
	"context"
	"errors"
	"time"
)

// Two subscriptions of one name that are restarted when they are fenced take the record from each
// other again and again. To detect this contest, the record counts takeovers that follow each
// other within contestTime; a clean close resets the count. A few are immediate, because a process
// may crash and be restarted. After those, the owner changes the record every beat, and a
// subscription that wants to take it over watches it first: a record that does not change has lost
// its owner, and one that changes is left to its owner for a time that grows.
const (
	contestTime   = 15 * time.Minute // maximum time between two takeovers of one contest
	promptContest = 3                // takeovers of a contest that do not wait
	beat          = time.Second
	firstQuiet    = 3 * time.Second // a record unchanged for so long has no owner
	maxQuiet      = time.Minute
	keepTimes     = 5 // an owner that is alive keeps the record for keepTimes times quiet
)

// contested returns the Contest of a takeover of r now. If the clocks of two machines differ, a
// contest is only detected late or ends late. Owners with a lease do not contest a record.
func (r record) contested(now time.Time) uint {
	if r.Epoch == 0 || r.Lease > 0 || now.Sub(r.Taken).Abs() > contestTime {
		return 0
	}
	return r.Contest + 1
}

// takenOver returns the record of a new owner that takes r over. alive reports whether the owner of r
// is known to live.
func (r record) takenOver(alive bool) record {
	now := time.Now()
	next := record{Epoch: r.Epoch + 1, Owner: newOwner(), Token: r.Token, Events: r.Events,
		Saved: now.UTC(), Taken: now.UTC(), Contest: r.contested(now), Takeovers: r.Takeovers, Override: r.Override}
	if r.Epoch > 0 && !alive {
		next.Takeovers++
		next.Suspect = r.Suspect
	}
	return next
}

// quiet returns how long a record must stay unchanged before a takeover that sets its Contest to n.
func quiet(n uint) time.Duration {
	if n <= promptContest {
		return firstQuiet
	}
	return min(firstQuiet<<min(n-promptContest-1, 10), maxQuiet)
}

// mustWait reports whether a takeover of r must wait for its owner: because the record is contested,
// or because the owner has named a suspect. Only a subscription with a DeadLetter needs to know
// whether the owner has died of that.
func (l *ledger) mustWait(r record, now time.Time) bool {
	return r.contested(now) > promptContest || r.Suspect != "" && l.buries && r.Lease == 0
}

// takeOver makes this subscription the owner of the record, with a higher epoch than all earlier
// ones, and returns the record before that. Older subscriptions are fenced from then on. If another
// owner has a lease that is not over, it returns a *leased.
func (l *ledger) takeOver(ctx context.Context) (record, error) {
	old, mine := l.replaced, l.claimed
	defer func() { l.replaced, l.claimed = old, mine }()
	alive := false
	for tries := 0; tries < 5; tries++ {
		was, version, err := l.load(ctx)
		if err != nil {
			return record{}, err
		}
		if was.isLeased() && version != l.over && !was.sameWriter(mine) {
			return record{}, &leased{was, version, time.Now()}
		}
		if mine.Owner == "" || was.Epoch != old.Epoch && !was.sameWriter(mine) {
			read := version
			if was, version, alive, err = l.standBy(ctx, was, version); err != nil {
				return record{}, err
			}
			if version != read && was.isLeased() { // the lease began meanwhile
				return record{}, &leased{was, version, time.Now()}
			}
		}
		if mine.Owner == "" || !was.sameWriter(mine) {
			was = l.overridden(was)
			old, mine = was, was.takenOver(alive)
			mine.Lease = l.tenure.ms()
		} // otherwise an earlier try has landed; it is durable once a Save returns nil
		mine.Write = l.writes
		sent := time.Now()
		version, err = l.swap(ctx, mine, version)
		if err == nil && l.tenure.renew(sent) { // otherwise the lease is nearly over
			l.rec, l.version, l.durable, l.taken = mine, version, true, time.Now()
			l.start, l.suspect = mine.Token, mine.Suspect
			return old, nil
		}
		l.writes++
		if ctx.Err() != nil {
			return record{}, &CheckpointError{l.key, "take over", context.Cause(ctx)}
		}
		if err != nil && !isConflict(err) && tries > 0 {
			return record{}, &CheckpointError{l.key, "take over", err}
		}
	}
	return record{}, &CheckpointError{l.key, "take over", errors.New("other subscriptions keep taking the record over at the same time: run one of a name at a time")}
}

// overridden returns r with the position of Options.StartAfter if Options.OverrideID asks for it. The
// id is stored by the same save as the position, so that this happens once.
func (l *ledger) overridden(r record) record {
	l.overrides = false
	if l.overrideID == "" || l.overrideID == r.Override {
		return r
	}
	l.overrides = r.Epoch > 0
	r = r.moved(l.startAfter)
	r.Override = l.overrideID
	return r
}

// standBy waits until r, which was just read, may be taken over, and returns the record then, and
// whether its owner still lives. It waits only if mustWait. It returns an error if maxLost reads in a
// row fail.
func (l *ledger) standBy(ctx context.Context, r record, version string) (_ record, _ string, alive bool, err error) {
	n := r.contested(time.Now())
	if !l.mustWait(r, time.Now()) {
		return r, version, false, nil
	}
	l.waits(n, r.Owner, keepTimes*quiet(n))
	taken := time.Now() // not r.Taken: the clocks may differ
	changed := taken
	for failed := 0; ; {
		pause(ctx, beat, nil)
		if ctx.Err() != nil {
			return record{}, "", false, &CheckpointError{l.key, "take over", context.Cause(ctx)}
		}
		next, v, err := l.load(ctx)
		if err != nil {
			if failed++; failed == maxLost {
				return record{}, "", false, err
			}
			continue
		}
		if v != version {
			changed = time.Now()
		}
		overtaken := next.Epoch != r.Epoch
		if overtaken {
			taken = changed
		}
		r, version, failed = next, v, 0
		n = r.contested(time.Now())
		switch {
		case !l.mustWait(r, time.Now()), time.Since(changed) >= quiet(n):
			return r, version, false, nil
		case time.Since(taken) >= keepTimes*quiet(n):
			return r, version, true, nil
		case overtaken:
			l.waits(n, r.Owner, keepTimes*quiet(n))
		}
	}
}

// waits reports that a takeover has to wait.
func (l *ledger) waits(n uint, owner string, atMost time.Duration) {
	if n > promptContest {
		l.contested(n, owner, atMost)
	} else {
		l.awaited(owner, atMost)
	}
}

// load returns the stored record and its version, or a zero record if there is none.
func (l *ledger) load(ctx context.Context) (r record, version string, err error) {
	ctx, cancel := l.limit(ctx)
	defer cancel()
	r, _, version, err = loadRecord(ctx, l.store, l.key)
	switch {
	case err != nil:
		return r, version, err
	case r.Epoch < l.seen:
		return record{}, "", l.older(l.seen)
	}
	if l.seen > 0 {
		l.lost = 0
	}
	if r.Override == l.overrideID {
		l.overrideID = "" // applied; a later one may replace it before the takeover
	}
	return r, version, nil
}

// limit bounds a call to the store. In Subscribe, only ctx does if there is no lease.
func (l *ledger) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.tenure == nil && l.seen == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, l.tenure.callTimeout())
}

// swap saves a record in the place of the one with a version.
func (l *ledger) swap(ctx context.Context, r record, prev string) (version string, err error) {
	ctx, cancel := l.limit(ctx)
	defer cancel()
	return l.store.Save(ctx, l.key, r.encode(), prev)
}

// loadRecord returns the stored record, its encoding and its version. If the record cannot be read,
// it returns the encoding and the version with an error whose Op is "read".
func loadRecord(ctx context.Context, store Store, key string) (r record, data []byte, version string, err error) {
	if data, version, err = store.Load(ctx, key); err != nil {
		return record{}, nil, "", &CheckpointError{key, "load", err}
	}
	if data == nil {
		return record{}, nil, version, nil
	}
	if r, err = parseRecord(data); err != nil {
		return record{}, data, version, damaged(key, err)
	}
	return r, data, version, nil
}

// beats reports whether a save must change the record: because it has a lease, is contested or names a
// suspect, or to end that. It never must if only Commit may call Save.
func (l *ledger) beats() bool {
	return l.rec.isLeased() || !l.commitOnly && (l.rec.Contest >= promptContest || l.rec.Contest > 0 && l.isSettled() ||
		l.rec.Suspect != "" || l.rec.Takeovers > 0 && l.final.Load())
}

// isSettled reports whether the contest that led to this owner has ended.
func (l *ledger) isSettled() bool { return l.final.Load() || time.Since(l.taken) >= contestTime }

// look reads the record to find out whether it has been taken over while there was nothing to save.
func (l *ledger) look(ctx context.Context) {
	r, _, err := l.load(ctx)
	if err == nil && r.Epoch >= l.rec.Epoch && !r.sameWriter(l.rec) {
		l.fail(ErrFenced)
	}
}

package client

import (
	"context"
	"errors"
	"time"
)

// Two subscriptions of one name that are restarted when they are fenced take the record
// from each other without end. The record tells that: it counts the takeovers of which each
// follows soon after the one before, while nobody has closed cleanly. A few are prompt,
// because a process may crash and be restarted. Then the owner lets the record change
// every beat, and one that wants to take over watches it first: a record that stays as it
// is has lost its owner, and one that changes is left to its owner for a time that grows.
const (
	contestTime   = 15 * time.Minute // between takeovers that count as one contest
	promptContest = 3                // takeovers of a contest that do not wait
	beat          = time.Second
	firstQuiet    = 3 * time.Second // without a change, after which the owner has gone
	maxQuiet      = time.Minute
	patienceTimes = 5 // quiet is multiplied by it: how long a living owner keeps the record
)

// contested returns the Contest of a takeover that follows on r now. Where the clocks of
// two machines differ, a contest is noticed late or ends late, and no more than that.
func (r record) contested(now time.Time) uint {
	if r.Epoch == 0 || now.Sub(r.Taken).Abs() > contestTime {
		return 0
	}
	return r.Contest + 1
}

// takenOver returns the record that takes r over.
func (r record) takenOver() record {
	now := time.Now()
	return record{Epoch: r.Epoch + 1, Owner: newOwner(), Token: r.Token, Events: r.Events,
		Saved: now.UTC(), Taken: now.UTC(), Contest: r.contested(now)}
}

// quiet returns how long a record must stay unchanged before the takeover that makes its
// Contest n.
func quiet(n uint) time.Duration {
	return min(firstQuiet<<min(n-promptContest-1, 10), maxQuiet)
}

// takeOver makes this subscription the owner of the record, with an epoch above all
// earlier ones, and returns what it held. Older subscriptions are fenced from then on.
func (c *checkpoint) takeOver(ctx context.Context) (old record, err error) {
	var mine record
	for tries := 0; tries < 5; tries++ {
		was, version, err := c.load(ctx)
		if err != nil {
			return record{}, err
		}
		if mine.Owner == "" || was.Epoch != old.Epoch && !was.sameWriter(mine) {
			if was, version, err = c.standBy(ctx, was, version); err != nil {
				return record{}, err
			}
		}
		if mine.Owner == "" || !was.sameWriter(mine) {
			old, mine = was, was.takenOver()
		} // else an earlier try has landed; it is durable once a Save returns nil
		c.writes = uint64(tries)
		mine.Write = c.writes
		version, err = c.store.Save(ctx, c.key, mine.encode(), version)
		if err == nil {
			c.rec, c.version, c.durable, c.taken = mine, version, true, time.Now()
			return old, nil
		}
		if ctx.Err() != nil {
			return record{}, &CheckpointError{c.key, "take over", context.Cause(ctx)}
		}
		if !isConflict(err) && tries > 0 {
			return record{}, &CheckpointError{c.key, "take over", err}
		}
	}
	return record{}, &CheckpointError{c.key, "take over", errors.New("others keep taking the record over at the same time")}
}

// standBy returns the record, which was just read, once it may be taken over: at once
// unless it is contested. A few reads in a row may fail.
func (c *checkpoint) standBy(ctx context.Context, r record, version string) (record, string, error) {
	n := r.contested(time.Now())
	if n <= promptContest {
		return r, version, nil
	}
	c.contested(n, r.Owner, patienceTimes*quiet(n))
	taken := time.Now() // as far as is known here
	changed := taken
	for failed := 0; ; {
		sleep(ctx, beat)
		if ctx.Err() != nil {
			return record{}, "", &CheckpointError{c.key, "take over", context.Cause(ctx)}
		}
		next, v, err := c.load(ctx)
		if err != nil {
			if failed++; failed == maxLost {
				return record{}, "", err
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
		if n <= promptContest || time.Since(changed) >= quiet(n) || time.Since(taken) >= patienceTimes*quiet(n) {
			return r, version, nil
		}
		if overtaken {
			c.contested(n, r.Owner, patienceTimes*quiet(n))
		}
	}
}

// load returns the stored record and its version; a zero one if there is none.
func (c *checkpoint) load(ctx context.Context) (r record, version string, err error) {
	data, version, err := c.store.Load(ctx, c.key)
	if err != nil {
		return record{}, "", &CheckpointError{c.key, "load", err}
	}
	if data == nil {
		return record{}, version, nil
	}
	if r, err = parseRecord(data); err != nil {
		return record{}, "", &CheckpointError{c.key, "read", err}
	}
	return r, version, nil
}

// beats reports whether the owner must let the record change, or may end the contest. It
// never does if only Commit may call Save.
func (c *checkpoint) beats() bool {
	return !c.commitOnly && (c.rec.Contest >= promptContest || c.rec.Contest > 0 && c.isSettled())
}

// isSettled reports whether the contest that led to this owner is over.
func (c *checkpoint) isSettled() bool { return c.final.Load() || time.Since(c.taken) >= contestTime }

// look finds out whether the record has been taken over while there was nothing to save.
func (c *checkpoint) look(ctx context.Context) {
	r, _, err := c.load(ctx)
	if err == nil && r.Epoch >= c.rec.Epoch && !r.sameWriter(c.rec) {
		c.fail(ErrFenced)
	}
}

package client

import (
	"context"
	"errors"
	"time"
)

// takeOver makes this subscription the owner of the record, with an epoch above all
// earlier ones, and returns what it held. Older subscriptions are fenced from then on.
func (c *checkpoint) takeOver(ctx context.Context) (old record, err error) {
	var mine record
	for tries := 0; tries < 5; tries++ {
		was, version, err := c.load(ctx)
		if err != nil {
			return record{}, err
		}
		if mine.Owner == "" || !was.sameWriter(mine) {
			old = was
			mine = record{Epoch: was.Epoch + 1, Owner: newOwner(), Token: was.Token, Events: was.Events, Saved: time.Now().UTC()}
		} // else an earlier try has landed; it is durable once a Save returns nil
		c.writes = uint64(tries)
		mine.Write = c.writes
		version, err = c.store.Save(ctx, c.key, mine.encode(), version)
		if err == nil {
			c.rec, c.version, c.durable = mine, version, true
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

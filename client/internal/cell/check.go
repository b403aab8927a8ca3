package cell

import (
	"fmt"
	"math"
)

// Check returns an error unless the history is linearizable: each call can have taken effect at one
// moment between its start and its end, or after its start for a Save that failed, so that a Load
// returns what is stored, a Save succeeds if Prev is the stored version, and reports a conflict if it
// is not. The Data of each Save must be unique, and each client must have learned Prev from an earlier
// call.
//
// The order of the successful Saves follows from their versions. So the moments need not be searched:
// each call limits that of one Save, and the limits can be met or not.
func Check(history []Op) error {
	c := checker{saves: make(map[string]*write), versions: map[string]string{"": ""}, next: make(map[string]*write)}
	for _, step := range []func([]Op) error{c.index, c.observe, c.order, c.limit} {
		if err := step(history); err != nil {
			return err
		}
	}
	return c.place()
}

// A write is a Save that may have taken effect.
type write struct {
	Op
	version      string // "" if it is not known that it took effect
	after, until int64  // limits of the moment at which it took effect
}

type checker struct {
	saves    map[string]*write // by data
	versions map[string]string // the data of each version
	next     map[string]*write // by the version that each replaced
	chain    []*write          // in the order of their effects
}

// index collects the Saves and the versions that they returned.
func (c *checker) index(history []Op) error {
	for _, op := range history {
		if !op.IsSave {
			continue
		}
		c.saves[op.Data] = &write{Op: op, after: op.Start, until: math.MaxInt64}
		if op.Outcome != Done {
			continue
		}
		c.saves[op.Data].until = op.End
		if err := c.see(op); err != nil {
			return err
		}
	}
	return nil
}

// observe adds the versions that Loads have returned. They show which failed Saves took effect.
func (c *checker) observe(history []Op) error {
	for _, op := range history {
		if op.IsSave || op.Version == "" {
			continue
		}
		w := c.saves[op.Data]
		if w == nil {
			return fmt.Errorf("%v: its data %q was never saved", op, op.Data)
		}
		if w.Outcome == Conflict {
			return fmt.Errorf("%v: it has the data of a %v", op, w.Op)
		}
		if err := c.see(op); err != nil {
			return err
		}
	}
	return nil
}

// see records that a version has the data of op.
func (c *checker) see(op Op) error {
	w := c.saves[op.Data]
	if data, ok := c.versions[op.Version]; ok && data != op.Data {
		return fmt.Errorf("version %q stands for %q and for %q", op.Version, data, op.Data)
	}
	if w.version != "" && w.version != op.Version {
		return fmt.Errorf("the data %q has the versions %q and %q", op.Data, w.version, op.Version)
	}
	c.versions[op.Version], w.version = op.Data, op.Version
	return nil
}

// order chains the Saves by their versions.
func (c *checker) order([]Op) error {
	for _, w := range c.saves {
		if w.version == "" {
			continue
		}
		if other := c.next[w.Prev]; other != nil {
			return fmt.Errorf("two Saves replaced one version: %v; and %v", w.Op, other.Op)
		}
		c.next[w.Prev] = w
	}
	last := ""
	for w := c.next[last]; w != nil; w = c.next[last] {
		if len(c.chain) == len(c.next) {
			return fmt.Errorf("version %q was stored twice", last)
		}
		c.chain = append(c.chain, w)
		last = w.version
	}
	if n := len(c.next) - len(c.chain); n > 0 {
		return fmt.Errorf("%d of %d Saves replaced a version that was not stored", n, len(c.next))
	}
	if w := c.unseen(last); w != nil {
		c.chain = append(c.chain, w)
		c.next[last] = w
	}
	return nil
}

// unseen returns the first failed Save that may have replaced the last version without being seen, or
// nil. No other Save can follow one that was not seen.
func (c *checker) unseen(last string) (first *write) {
	for _, w := range c.saves {
		unseen := w.Outcome == Unknown && w.version == "" && w.Prev == last
		if unseen && (first == nil || w.Start < first.Start) {
			first = w
		}
	}
	return first
}

// limit narrows the moments of the writes by the calls that have seen them, or have not.
func (c *checker) limit(history []Op) error {
	for _, op := range history {
		switch {
		case op.IsSave && op.Outcome == Conflict:
			if w := c.next[op.Prev]; w != nil {
				w.until = min(w.until, op.End)
			} else if _, stored := c.versions[op.Prev]; stored {
				return fmt.Errorf("%v: that version was never replaced", op)
			}
		case !op.IsSave:
			if w := c.next[op.Version]; w != nil {
				w.after = max(w.after, op.Start)
			}
			if w := c.saves[op.Data]; w != nil {
				w.until = min(w.until, op.End)
			}
		}
	}
	return nil
}

// place gives each write the earliest possible moment.
func (c *checker) place() error {
	var now int64
	for _, w := range c.chain {
		now = max(now, w.after)
		if now > w.until {
			return fmt.Errorf("stale or lost: %v: a call that had to see it did not, or one saw it too early", w.Op)
		}
	}
	return nil
}

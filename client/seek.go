package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// A Checkpoint is the stored position of a subscription. String and LogValue omit the Token, which
// can be a secret.
type Checkpoint struct {
	Name   string    // Options.Name
	Token  string    // to resume after; empty if there is no position
	Epoch  uint64    // the number of owners and of calls of SetCheckpoint so far; 0 if nothing is stored
	Events uint64    // acknowledged since the first start, or since the position was reset
	Saved  time.Time // by the clock of the owner
	Owner  string    // host/process/random: the subscription, or the caller of SetCheckpoint
}

// String returns everything but the Token.
func (c Checkpoint) String() string {
	if c.Epoch == 0 {
		return fmt.Sprintf("checkpoint %q: not stored", c.Name)
	}
	return fmt.Sprintf("checkpoint %q: epoch %d, events %d, saved %s, owner %s",
		c.Name, c.Epoch, c.Events, c.Saved.Format(time.RFC3339), c.Owner)
}

// LogValue returns what String returns.
func (c Checkpoint) LogValue() slog.Value { return slog.StringValue(c.String()) }

func (r record) checkpoint(name string) Checkpoint {
	return Checkpoint{Name: name, Token: r.Token, Epoch: r.Epoch, Events: r.Events, Saved: r.Saved, Owner: r.Owner}
}

// ReadCheckpoint returns the stored position of the subscription with the given name. It changes
// nothing. If nothing is stored, the Epoch is 0 and the error is nil. An error is a
// *[CheckpointError]: with the Op "read" if the record is damaged, or "load" if the Store failed.
func ReadCheckpoint(ctx context.Context, store Store, name string) (Checkpoint, error) {
	if err := checkSeek(ctx, store, name, "ReadCheckpoint"); err != nil {
		return Checkpoint{}, err
	}
	r, _, _, err := loadRecord(ctx, store, name)
	return r.checkpoint(name), err
}

// SetOptions are the optional arguments of SetCheckpoint.
type SetOptions struct {
	// Epoch is the epoch that the record must have: that of a Checkpoint on which the decision was
	// based. If the record was taken over or set since, SetCheckpoint changes nothing and returns an
	// error that is ErrConflict. Saves of the same owner do not count. Default: 0; any.
	Epoch uint64

	// Force replaces a record even if it is damaged. The epoch of such a record may not be known, and
	// must not be used again: the new one is the time in milliseconds since 1970, or one more than
	// what the record still shows, if that is higher. Epoch is not compared then. A subscription with
	// an OverrideID may apply it once more. A lease that the record still shows does not end; if it
	// shows none, end its owner first. Default: false; a damaged record is an error.
	Force bool
}

// SetCheckpoint replaces the stored position of the subscription with the given name, and returns
// the one before, which has the Epoch 0 if there was none or it was damaged. The next Subscribe
// resumes after token. If token is empty, it starts as for the first time: after Options.StartAfter,
// or where the server decides. If the position moves back, events are delivered again. If it moves
// forward, the events in between are not delivered, and no Gap reports that.
//
// The position is set under compare-and-swap, with a new epoch, like a takeover. A subscription that
// runs meanwhile can no longer save. It ends with ErrFenced at its next save, or within 30 s if it
// has nothing to save, and must be started again. The counts of takeovers and the suspect start
// again, see Checkpoints in the package documentation. If nothing is stored, SetCheckpoint stores the
// first record. If opts is nil, every option has its default.
//
// A save whose outcome is not known is read back and repeated. An error is a *[CheckpointError], or a
// *[ConfigError] for an invalid argument. If it is ErrConflict, or has the Op "read" because the
// record is damaged, nothing was set. After any other error, the position may or may not be set: call
// ReadCheckpoint, or SetCheckpoint again. ctx should have a deadline.
func SetCheckpoint(ctx context.Context, store Store, name, token string, opts *SetOptions) (old Checkpoint, err error) {
	if err := checkSeek(ctx, store, name, "SetCheckpoint"); err != nil {
		return Checkpoint{}, err
	}
	s := &setter{store: store, name: name, token: token, owner: newOwner(), replaced: map[uint64]record{}}
	if opts != nil {
		s.opts = *opts
	}
	err = s.set(ctx)
	return s.old.checkpoint(name), err
}

func checkSeek(ctx context.Context, store Store, name, call string) error {
	var problems []error
	if ctx == nil {
		problems = append(problems, errors.New("ctx: is nil"))
	}
	if store == nil {
		problems = append(problems, errors.New("store: is nil"))
	}
	if name == "" {
		problems = append(problems, errors.New("name: is empty"))
	}
	if len(problems) > 0 {
		return &ConfigError{Problems: problems, call: call}
	}
	return nil
}

// A setter is one call of SetCheckpoint.
type setter struct {
	store Store
	name  string
	token string
	opts  SetOptions
	owner string // the same for all tries, so that one that has landed is recognized

	old      record            // the record that next replaces
	next     record            // what is saved
	replaced map[uint64]record // old of each try, by its number: a stale read may follow one that has landed
	unknown  bool              // a Save has failed for another reason than a conflict: it may land, even later
}

const (
	maxSetTries    = 100 // an owner that saves all the time often changes the record first
	promptSetTries = 5
	maxSetFailures = 5 // tries that failed for another reason
)

// after is what follows a try that has failed.
type after int

const (
	stop     after = iota
	raced          // the record was changed meanwhile: try again
	troubled       // try again a few times
)

// set tries until a Save returns nil: a record that was only read back may not be durable.
func (s *setter) set(ctx context.Context) error {
	failures := 0
	for try := uint64(1); ; try++ {
		then, err := s.try(ctx, try)
		if err == nil {
			return nil
		}
		var wait time.Duration
		switch {
		case then == troubled:
			failures++
			wait = firstSaveWait << failures
		case try > promptSetTries:
			wait = rand.N(50 * time.Millisecond)
		}
		if then == stop || failures == maxSetFailures || try == maxSetTries {
			return s.failure(err)
		}
		pause(ctx, wait, nil)
		if ctx.Err() != nil {
			return s.failure(context.Cause(ctx))
		}
	}
}

// failure returns the error of the call. It is a conflict only if nothing was set.
func (s *setter) failure(err error) error {
	switch {
	case s.unknown && isConflict(err):
		err = fmt.Errorf("the outcome is not known, read the checkpoint: %v", err)
	case errors.As(err, new(*CheckpointError)):
		return err
	}
	return &CheckpointError{s.name, "set", err}
}

// try saves the position once. n is the number of the try.
func (s *setter) try(ctx context.Context, n uint64) (after, error) {
	stored, version, then, err := s.load(ctx)
	if err != nil {
		return then, err
	}
	if stored.Owner == s.owner { // an earlier try has landed
		s.next, s.old = stored, s.replaced[stored.Write]
	} else {
		if then, err := s.compare(stored); err != nil {
			return then, err
		}
		s.next = stored.moved(s.token)
		s.next.Epoch, s.next.Owner, s.next.Contest = stored.Epoch+1, s.owner, 0
		if s.old = stored; stored.isDamaged() {
			s.old = record{}
		}
	}
	s.replaced[n] = s.old
	s.next.Write = n // no two records are the same, because a save may land late
	s.next.Saved = time.Now().UTC()
	s.next.Taken = s.next.Saved
	if _, err = s.store.Save(ctx, s.name, s.next.encode(), version); isConflict(err) {
		return raced, fmt.Errorf("%w after each of %d reads: stop the subscription and try again", err, n)
	}
	s.unknown = s.unknown || err != nil
	return troubled, err
}

// load returns the stored record. With Force, a damaged one is a record without an owner whose epoch
// precedes the new one.
func (s *setter) load(ctx context.Context) (r record, version string, then after, err error) {
	r, data, version, err := loadRecord(ctx, s.store, s.name)
	switch {
	case err != nil && data == nil:
		return record{}, "", troubled, err
	case err != nil && s.opts.Force:
		return forced(data), version, stop, nil
	}
	return r, version, stop, err
}

// forced returns the record that a damaged one stands for. Epochs are counted, so that a time in
// milliseconds is higher than each one before. After two such times with a clock that was set back, it
// may not be, but the record usually still shows its epoch, and a lease that may not be over.
func forced(data []byte) record {
	var shown struct {
		Epoch    uint64
		Lease    int64 `json:"lease_ms"`
		Released bool
	}
	bad := json.Unmarshal(data, &shown) != nil
	if bad || shown.Epoch > maxEpoch {
		shown.Epoch = 0
	}
	if bad || shown.Lease < 0 || shown.Lease > maxLease.Milliseconds() {
		shown.Lease, shown.Released = 0, false
	}
	epoch := max(uint64(max(time.Now().UnixMilli(), 1)), shown.Epoch+1)
	return record{Epoch: epoch - 1, Lease: shown.Lease, Released: shown.Released}
}

// isDamaged reports whether r stands for a record that cannot be read.
func (r record) isDamaged() bool { return r.Owner == "" && r.Epoch > 0 }

// compare reports a conflict unless the stored record has the epoch that the caller wants.
func (s *setter) compare(stored record) (after, error) {
	wanted := s.opts.Epoch
	switch {
	case wanted == 0, stored.isDamaged(), stored.Epoch == wanted:
		return stop, nil
	case stored.Epoch < wanted:
		return troubled, &epochConflict{stored.Epoch, wanted} // an epoch never decreases: the read may be stale
	}
	return stop, &epochConflict{stored.Epoch, wanted}
}

// moved returns the record with another position. What was counted for the one before ends.
func (r record) moved(token string) record {
	r.Token, r.Takeovers, r.Suspect = token, 0, ""
	if token == "" {
		r.Events = 0
	}
	return r
}

// damaged is the error for a record that cannot be read.
func damaged(name string, err error) error {
	return &CheckpointError{name, "read", fmt.Errorf("%w; restore it, or replace it with SetCheckpoint and Force", err)}
}

// An epochConflict reports that the record does not have the epoch that the caller wants. It is
// ErrConflict.
type epochConflict struct{ have, want uint64 }

func (e *epochConflict) Error() string {
	return fmt.Sprintf("the epoch is %d, not %d: the checkpoint was taken over or set meanwhile", e.have, e.want)
}

func (e *epochConflict) Conflict() bool       { return true }
func (e *epochConflict) Is(target error) bool { return target == ErrConflict }

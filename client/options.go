package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// Options are the optional arguments of Subscribe. The zero value of each field works unless its
// comment says otherwise.
type Options struct {
	// Name is the key of this subscription's checkpoint and its name in the log.
	// Required with Store.
	Name string

	// Store keeps the checkpoint across restarts. Subscribe rejects it for a feed without
	// positions, such as a webhook.Receiver. Default: none; the position survives reconnects only.
	Store Store

	// Lease makes the subscription the only owner of its checkpoint, until it is closed or has not
	// saved the record for that long. A Subscribe of a name whose owner has a lease waits: its state
	// is StateStandby, and it takes the checkpoint over when the owner is closed, at most a second
	// later, or once the record has not changed for the owner's Lease. So run two replicas with the
	// same Name and Lease, and one is always ready to take over. See Leases in the package
	// documentation.
	//
	// The owner saves the record at least each quarter of Lease, also without events. If it cannot for
	// four fifths of Lease, it ends with ErrFenced: it closes its connection and hands out nothing
	// more before another one can take over. A replicated store may need seconds to elect a leader, so
	// give it at least 10 s. Subscribe rejects less than 1 s, more than 24 h, and a negative
	// CommitEvery. Requires Store. Default: 0, no lease: the newest subscription of a name takes the
	// checkpoint over, unless its owner has a lease.
	Lease time.Duration

	// StartAfter is the token to resume after if the Store holds none, or if OverrideID is new.
	// Default: none; the server decides where the feed starts.
	StartAfter string

	// OverrideID makes StartAfter replace the position in the Store, once for each OverrideID: the
	// record names the one that was applied last, and a Subscribe with that one resumes at the stored
	// position, as without. So a program that crashes does not start from StartAfter again. Choose a
	// new one, such as a date or the number of a ticket, for each change of StartAfter. With an empty
	// StartAfter, the position is reset. [SetCheckpoint] has the same effect without a new start of
	// the program. It is logged, so it must not be a secret. Requires Store. Default: none; the Store
	// wins.
	OverrideID string

	// CommitEvery is the maximum time between an Ack and the start of its save. Acks in between
	// share one save. If negative, Store.Save is called only by Subscribe, for Commit and at the
	// end; Store.Load is called at other times as well. Default: 1 s.
	CommitEvery time.Duration

	// TokenOf returns the token to resume after an event, or "" if the event has none. TokenOf,
	// SequenceOf and Skip are called in this order, for one event at a time, and must not wait. They
	// run on the subscription's goroutine, or on that of a sender's request to a
	// [transport.Receiver].
	//
	// A token stands for one place in the order of delivery. Return "" for an event that is not a
	// safe place to resume after: a keepalive whose id the server does not store (ntfy), or a live
	// event that the server sends before it has replayed the events before it.
	//
	// Default: the token that the transport sets: the id of an SSE event, or Message.Token as set
	// by the transport's OnMessage.
	TokenOf func(Event) string

	// Skip reports whether an event is not for the consumer, such as a keepalive or a bookmark.
	// A skipped event counts as received and in its sequence, and moves the token, but is not
	// delivered. Default: none.
	Skip func(Event) bool

	// Dedupe is the number of event ids to remember. An event whose ID is among them is dropped.
	// Events without an ID are never dropped: those of a JSON feed have none unless the transport's
	// OnMessage sets Message.ID. Events that their sender repeats until they are acknowledged
	// (webhooks) are not dropped either, except with Backfill. Ids are remembered across
	// reconnects, not across restarts. A dropped event does not move the token.
	//
	// A server that resumes from a position, not after it (Jetstream's cursor, Docker's since),
	// sends an event again after each reconnect. If its events have no id, let OnMessage set
	// Message.ID to a hash of the payload, which includes the position.
	//
	// Default: 0; none are dropped.
	Dedupe int

	// SequenceOf returns the event's number within the numbering of its key, or ok false if the
	// event is not numbered. If a number is skipped, the event has a Gap. The last number of each
	// key is kept until the subscription ends, or up to SequenceKeys. After a handover, numbers
	// that the previous connection delivered after the new one was started are dropped.
	// Default: no check.
	SequenceOf func(Event) (key string, n uint64, ok bool)

	// SequenceKeys is the maximum number of keys of SequenceOf whose last numbers are kept, at least
	// 2. It bounds the memory for a feed whose keys come and go. The half of them with the latest
	// events is always kept. The next event of a forgotten key is delivered without a Gap, like the
	// first one of a new key. Default: 0; no limit.
	SequenceKeys int

	// EventTime returns when the event happened, or the zero time if it does not carry that. It is
	// called after TokenOf, SequenceOf and Skip under the same rules, for the last event of each batch
	// that arrives together, but not for events of Backfill. Stats.Lag is the difference to
	// Event.Received. Default: none; Stats.Lag is 0.
	EventTime func(Event) time.Time

	// Backfill repairs a gap: it is asked for the events that may be missing, such as from an API
	// that lists them, before the events after the gap are delivered. It calls deliver for each of
	// them in order. They are delivered in the place of the gap like any others: Skip, Dedupe and
	// SequenceOf apply, they must be acknowledged, and deliver waits while the buffer is full. It
	// returns an error when ctx has ended, which is also the case after Backfill has returned.
	//
	// A message that has a Token is a place to resume after; TokenOf is not called. If the process
	// ends meanwhile, the next one resumes after the last of them that is acknowledged, or asks
	// Backfill again if there is none. So give no tokens to the items of a list that is not in the
	// order of the feed.
	//
	// Backfill answers with
	//   - nil: the gap is repaired. resumeAfter is the token to continue after, such as the version
	//     of a list. If empty, the feed continues where it is, or after the last message with a
	//     Token.
	//   - ErrAcceptGap: the gap is not repaired. The next event has it, as without Backfill. The feed
	//     continues as for nil.
	//   - an error of Terminal, or one that is final under Options.Retry: the subscription ends with
	//     a StopError. transport.ErrComplete ends it as a complete feed.
	//   - any other error: Backfill is called again after a delay under Options.Retry, or that of
	//     RetryAfter, for the rest of the gap. What was delivered before stays delivered.
	//
	// Backfill is called before the connection is opened if there is no position to connect with:
	// with the reason GapStart if the subscription starts without one, and with GapTokenRejected.
	// It is called with the connection open and not read for every other gap, so that what it
	// fetches then is not older than what the connection delivers next. A nil without a token at
	// GapStart means that there is no position to connect with: Backfill is asked again, with
	// GapNoToken, as soon as the connection is open. A token that is returned while a connection is
	// open replaces the connection. If the transport presents no tokens (transport.Session.Resumes), a
	// token has no effect, and Backfill is asked with GapNoToken on every connection.
	//
	// After a repaired gap, events of the feed whose number in SequenceOf is not higher than the
	// last one delivered for their key are dropped. An event that reveals a jump is compared again:
	// if the numbers delivered for its key do not reach up to it, Backfill has failed. Numbers are not
	// stored: after a restart in the middle, the jump is found again only if the feed repeats an event
	// of the key from before it.
	//
	// With a [transport.Receiver], Backfill is called each time that it listens (GapStart, then
	// GapNoToken), on a goroutine of its own, while deliveries continue. Dedupe is required: an
	// event that reaches the subscription both ways is delivered once, and its sender is answered
	// when it is settled. Tokens have no effect, and an accepted gap is not reported.
	//
	// ctx ends with the subscription and with the connection, as by Reconnect; Backfill is then asked
	// again. If the peer does not tolerate a connection that is not read for so long, it is closed
	// meanwhile and resumed afterwards. Calls do not overlap. deliver may be called from any
	// goroutine. The caller must not change the Data of a message that it has delivered.
	//
	// Default: none; every gap is delivered.
	Backfill func(ctx context.Context, gap Gap, deliver func(transport.Message) error) (resumeAfter string, err error)

	// Buffer is the maximum number of events that are received and not yet acknowledged, at most
	// 16,777,216. BufferBytes is the maximum size of their Data in bytes. When either is reached,
	// the subscription stops reading, which slows the sender down, or accepts no further event from
	// a [transport.Receiver]; see Overflow for other policies. One event always fits.
	// Default: 1024 events, 8 MiB.
	Buffer      int
	BufferBytes int

	// Overflow decides what follows when the buffer is full. With a [transport.Receiver], Subscribe
	// rejects every policy but OverflowBlock, because the senders repeat what is refused. What
	// Backfill delivers waits for space under every policy, and Pause drops nothing.
	// Default: OverflowBlock.
	Overflow Overflow

	// KeyOf returns the key of an event for OverflowLatest, such as the symbol of a ticker, or ""
	// for an event that is never replaced. It is called after Skip, under the same rules, and again
	// if the event has to wait for space. Required with OverflowLatest, and rejected otherwise.
	// Default: none.
	KeyOf func(Event) string

	// MaxAttempts is the maximum of Event.Attempt: a refusal of the event in this attempt is
	// permanent, as by [Terminal]. Rejected for a [transport.Receiver] without DeadLetter, because
	// its sender decides how often it repeats a delivery. Default: 0, no limit.
	MaxAttempts int

	// DeadLetter is called with an event that a consumer has refused permanently, by [Terminal] or
	// in its last attempt, and with the argument of Nack. It puts the event aside and returns nil
	// once it is safe there: then the event counts as acknowledged, and its sender, if one waits,
	// gets success. Until then the checkpoint cannot pass it.
	//
	// An error is reported to Logger and Trace, and DeadLetter is called again after a delay of 1 s
	// that doubles up to 1 min. If the process crashes before the checkpoint is saved, the event is
	// delivered again after a restart, so DeadLetter may be called with it more than once.
	//
	// DeadLetter is called for one event at a time, on a goroutine that lasts while there is any. Its
	// ctx ends when the subscription is closed or fenced. After the end of the context given to
	// Subscribe, it is still called once for an event that is refused.
	//
	// It is also called with an event that seems to end the process; see Checkpoints in the package
	// documentation.
	//
	// Default: none. A permanent refusal then ends the subscription with a *[RefusedError]. If the
	// sender waits for the outcome (a webhook), it is refused as by any Nack, and repeats the
	// delivery until it gives up. If it does not (webhook.AckOnEnqueue), the event is dropped, which
	// is logged as an error.
	DeadLetter func(ctx context.Context, e Event, err error) error

	// Retry decides what follows a failure. Default: the zero Policy, which retries without a limit.
	Retry retry.Policy

	// Logger receives changes of state and lasting trouble, at the levels that the package
	// documentation lists. It never receives tokens, payloads, paths or query strings. Without a
	// Logger, a loop over a feed that cannot be reached waits silently; see also
	// [Subscription.WaitConnected]. Default: none.
	Logger *slog.Logger

	// Trace is a set of callbacks for everything that happens. [JoinTraces] combines several. Default:
	// none.
	Trace *Trace

	// Monitor keeps the recent past of the subscription, and answers the probes of an orchestrator. One
	// Monitor may be given to any number of subscriptions. Default: none.
	Monitor *Monitor

	// StuckAfter is how long a consumer may hold an event, or leave it in the buffer as the oldest one,
	// before [Subscription.Healthy] reports that it is stuck. An event that was refused does not count
	// while it waits for its next attempt. Negative: no limit. Default: 5 min.
	StuckAfter time.Duration
}

const (
	defaultBuffer      = 1024
	maxBuffer          = 1 << 24
	defaultBufferBytes = 8 << 20
	defaultCommitEvery = time.Second
	defaultStuckAfter  = 5 * time.Minute
)

// withDefaults returns a copy of o, which may be nil, with every default filled in.
func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Buffer == 0 {
		c.Buffer = defaultBuffer
	}
	if c.BufferBytes == 0 {
		c.BufferBytes = defaultBufferBytes
	}
	if c.CommitEvery == 0 {
		c.CommitEvery = defaultCommitEvery
	}
	if c.StuckAfter == 0 {
		c.StuckAfter = defaultStuckAfter
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Name != "" {
		c.Logger = c.Logger.With("subscription", c.Name)
	}
	if c.Trace == nil {
		c.Trace = &Trace{}
	}
	return c
}

func validate(ctx context.Context, src transport.Source, o *Options) error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if ctx == nil {
		problem("ctx: is nil")
	}
	if v := reflect.ValueOf(src); src == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		problem("src: is nil")
	} else {
		problems = append(problems, listed(src.Validate())...)
		if !isFeed(src) {
			problem("src: %T is neither a transport.Transport nor a transport.Receiver", src)
		}
	}
	if o != nil {
		if o.Store != nil && o.Name == "" {
			problem("Options.Name: is required with Store")
		}
		if o.Store == nil && o.CommitEvery != 0 {
			problem("Options.CommitEvery: has no effect without Store: set Store or remove it")
		}
		if o.Lease != 0 && (o.Lease < minLease || o.Lease > maxLease) {
			problem("Options.Lease: %v is not between %v and %v", o.Lease, minLease, maxLease)
		}
		if o.Lease != 0 && o.Store == nil {
			problem("Options.Lease: has no effect without Store: set Store or remove it")
		}
		if o.Lease != 0 && o.CommitEvery < 0 {
			problem("Options.Lease: cannot be renewed with a negative CommitEvery, which leaves saving to Commit")
		}
		if o.Store == nil && o.OverrideID != "" {
			problem("Options.OverrideID: has no effect without Store: set Store or remove it")
		}
		if isPushed(src) {
			if o.Store != nil {
				problem("Options.Store: remove it: the feed has no positions to save, and the sender repeats what is not acknowledged")
			}
			if o.StartAfter != "" {
				problem("Options.StartAfter: remove it: the feed has no positions")
			}
			if o.Backfill != nil && o.Dedupe == 0 {
				problem("Options.Dedupe: is required with Backfill: a delivery that arrives meanwhile would be delivered twice")
			}
		}
		if o.MaxAttempts < 0 {
			problem("Options.MaxAttempts: %d is negative", o.MaxAttempts)
		}
		if isPushed(src) && o.MaxAttempts > 0 && o.DeadLetter == nil {
			problem("Options.MaxAttempts: has no effect on a feed whose sender repeats events: set DeadLetter or remove it")
		}
		if o.Buffer < 0 || o.Buffer > maxBuffer {
			problem("Options.Buffer: %d is not between 0 and %d", o.Buffer, maxBuffer)
		}
		problems = append(problems, o.Overflow.problems(o, isPushed(src))...)
		if o.BufferBytes < 0 {
			problem("Options.BufferBytes: %d is negative", o.BufferBytes)
		}
		if o.Dedupe < 0 {
			problem("Options.Dedupe: %d is negative", o.Dedupe)
		}
		if o.SequenceKeys < 0 || o.SequenceKeys == 1 {
			problem("Options.SequenceKeys: %d is neither 0 nor at least 2", o.SequenceKeys)
		}
		if o.SequenceKeys != 0 && o.SequenceOf == nil {
			problem("Options.SequenceKeys: has no effect without SequenceOf: set SequenceOf or remove it")
		}
		problems = append(problems, listed(o.Retry.Validate())...)
	}
	if len(problems) > 0 {
		return &ConfigError{Problems: problems}
	}
	return nil
}

// isFeed reports whether Subscribe knows how to receive from src.
func isFeed(src transport.Source) bool {
	switch src.(type) {
	case transport.Transport, transport.Receiver:
		return true
	}
	return false
}

// isPushed reports whether the feed has no positions: only its sender can repeat events.
func isPushed(src transport.Source) bool {
	_, pulled := src.(transport.Transport)
	return !pulled
}

// listed returns the errors that errors.Join has joined, and keeps an error whole that has its own
// text. It is a copy of List in transport/internal/joined, which client cannot import.
func listed(err error) (list []error) {
	if err == nil {
		return nil
	}
	joined, ok := err.(multiError)
	if !ok {
		return []error{err}
	}
	if again := errors.Join(joined.Unwrap()...); again == nil || again.Error() != err.Error() {
		return []error{err}
	}
	for _, part := range joined.Unwrap() {
		list = append(list, listed(part)...)
	}
	return list
}

type multiError interface{ Unwrap() []error }

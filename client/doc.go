// Package client subscribes to feeds: HTTP streams, WebSockets and webhooks, with one
// call and one meaning of events, acknowledgements and resuming for all of them.
//
//	sub, err := client.Subscribe(ctx, &transport.HTTP{URL: "https://example.com/events"}, nil)
//	if err != nil {
//		return err
//	}
//	defer sub.Close()
//	for ev, err := range sub.Events() {
//		if err != nil {
//			return err // final: everything that could be retried has been
//		}
//		fmt.Println(ev.ID, string(ev.Data))
//	}
//
// # Delivery
//
// Events are delivered at least once and in order. After a lost connection the feed
// resumes behind the last event received; after a restart, with a [Store], behind the
// last event up to which everything is acknowledged. So an event that was in hand when
// the process died comes again, and a consumer must bear to see an event twice.
//
// The body of an Events loop finishing acknowledges its event. [Subscription.Next]
// leaves that to [Event.Ack], in any order and from any goroutine: the stored position
// never passes an event that is not acknowledged.
//
// What may have been lost is said, in its place: an event whose Gap is not nil may have
// missing events just before it. That is so when the server no longer knows the
// position, when a feed without positions was interrupted, when numbers jump
// ([Options.Sequence]), or when the server says so. A feed that others push, such as a
// webhook, has no such interruption: the sender repeats what is not acknowledged.
//
// A consumer that is slower than its feed fills the buffer ([Options.Buffer]); then the
// subscription stops reading, and nothing is dropped. One that is faster waits; from
// 20,000 events a second on it is not woken for each of them, and an event may have been
// there for 100 microseconds when it gets it.
//
// # Checkpoints
//
// The position of a subscription is one record in a [Store], under its [Options.Name].
// Subscribe takes the record over. From then on an older subscription of that name,
// in this process or in another one, cannot save any more and ends with [ErrFenced]:
// a position never moves back. An idle subscription loads the record every 30 s, and so
// learns that it is fenced. Acks are saved together, at most once each
// [Options.CommitEvery]; [Subscription.Commit] is for those who have to know.
//
// Run one subscription of a name at a time. Replicas that restart on ErrFenced would take
// the record from each other again and again. The record counts takeovers of which each
// follows within 15 minutes of the one before, unless the owner was closed. The first three
// are prompt, so that a process that crashes can be restarted. From the fourth on,
// Subscribe logs a warning and watches the record, which its owner now saves every second:
// a record that does not change for 3 s has no owner and is taken over. One that changes is
// left to its owner for 15 s. Both times double with each takeover, up to 1 and 5 minutes.
// When another subscription takes the record over meanwhile, the wait begins anew.
//
// Where events change a database, save the position in the same transaction, so that each
// event has its effect exactly once: with a Store that saves through the open transaction,
// a negative CommitEvery, and for each event the work, [Event.Ack], Commit and the commit of
// the transaction. See the example of [Store].
//
// # Errors
//
// A failure that can be retried is retried as [Options.Retry] says and reported to
// [Options.Trace] and [Options.Logger] only. The error that ends a loop is final: a
// [*StopError] with the last failure as its cause, [ErrFenced], a [*CheckpointError]
// when the store has lost the record, or the cause of the context given to Subscribe.
// Before a *StopError everything received is delivered. A feed that is complete ends
// the loop without an error.
//
// A wrong host name or certificate is such a failure too, and without a Logger the loop
// waits in silence. [Subscription.WaitConnected] returns it at the start of a program.
//
// # Log
//
// With [Options.Logger], these records are written:
//
//	message                         level  attributes
//	connected                       INFO   attempt, resuming; after failures: failures, outage
//	disconnected                    INFO   reason: Reconnect, a handover, a consumer too slow to wait for
//	disconnected, connect failed    WARN   error, class, attempt, failures, outage, delay
//	handover failed                 WARN   error, class, attempt, delay
//	events may be missing           WARN   reason; missed, if the number is known
//	(Option) has no effect          WARN   events: so many lack what Dedupe, Store or Sequence needs
//	buffer full, no event settled   WARN   full, buffered, attempt, age; id
//	checkpoint not saved            WARN   error, failures, outage
//	checkpoint saved again          INFO   failures, outage
//	checkpoint is contested         WARN   takeovers, owner, waiting_at_most: see Checkpoints
//	the feed is complete            INFO   reason: the transport's, if it gives one
//	ended                           INFO   reason: complete (none), Close, the end of the context
//	ended                           ERROR  error
//
// An outage lasts until a connection brings an event. Its first failure is WARN, and so is
// the first one of each class, and one after 1, 3, 7, 15 minutes and so on, at least one
// an hour; failures counts all of them, and outage is the time since the first. The others
// are DEBUG, and so is "connected" until the next WARN. A connection that the server ends
// cleanly after it has brought events is INFO. Of a handover, the first failed attempt is
// WARN. Saves that fail one after the other are reported at the same times.
//
// In "connected", attempt is the number of the attempt. In records of failures it counts the
// failures in a row without progress, and is 0 when a connection that made progress ends.
//
// A full buffer is reported when no event was settled for 30 s, and again after 90 s,
// 210 s and so on: the consumer hangs, or has forgotten an Ack. The attributes attempt, age
// and id are of the oldest event. Its id is left out where it is the token, because a token
// can be a secret; [Trace].Stalled and [Stats] have it.
//
// # Panics
//
// A panic in a function of the program is never hidden. On a goroutine of the subscription
// it ends the process: Token, Skip, Sequence, Retry.Classify, the functions of [Trace] but
// Nacked, the handler of Logger, a [Store] after Subscribe has returned, and the functions
// of transport.HTTP and transport.WebSocket. The stored record stays intact; what was not
// saved comes again.
//
// The body of a loop, Trace.Nacked, and the Store during Subscribe run on the caller's
// goroutine. If the caller recovers, the event in hand is handed out again, no lock stays
// held, and a deferred Close works.
//
// A panic in a function of a Webhook's provider is answered with 500. One in OnRefused is
// left to the HTTP server, which closes the connection. The subscription goes on.
//
// # Goroutines
//
// A subscription has one goroutine of its own; a save has one while it lasts.
// [Subscription.Close] joins them all within a second. Trace functions run on
// them and on the consumers' goroutines.
//
// # Testing
//
// Package mock has feeds that misbehave on command, and everything here works in a
// testing/synctest bubble, where a day of reconnecting takes no time.
package client

// Package client subscribes to feeds: HTTP streams, WebSockets and webhooks. Subscribing,
// acknowledging and resuming work the same for all of them.
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
// A loop handles one event at a time. A handler for [Subscription.Process] runs on several goroutines,
// in order for each key, and its error refuses the event:
//
//	err = sub.Process(ctx, handle, &client.ProcessOptions{Workers: 8, KeyOf: customer})
//
// # Delivery
//
// Events are delivered at least once and in order. After a lost connection, the feed resumes
// after the last event received. After a restart with a [Store], it resumes after the last event
// up to which everything is acknowledged. An event that was being handled when the process died
// is delivered again, so consumers must be idempotent.
//
// When the body of an Events loop finishes, or a handler of Process returns nil, its event is
// acknowledged. An event from
// [Subscription.Next] is acknowledged with [Event.Ack], in any order and from any goroutine. The
// stored position never passes an event that is not acknowledged.
//
// An event that cannot be handled is refused, by [Event.Nack] or by the error of a handler, and
// delivered again after a delay; other events are delivered meanwhile. One that can never be handled
// is passed to [Options.DeadLetter], which puts it aside: at once if it is refused with [Terminal],
// or after [Options.MaxAttempts]. Without a DeadLetter, the subscription ends there with a
// [*RefusedError].
//
// Possible losses are reported in order: if an event's Gap is not nil, events may be missing just
// before it. That happens when the server no longer knows the position, when a feed without
// positions is interrupted, when numbers jump ([Options.SequenceOf]), when the server announces a
// loss, or when [Options.Overflow] drops events. An interruption of a pushed feed, such as a
// webhook, is no loss: the sender repeats what is not acknowledged.
//
// With [Options.Backfill], a loss is repaired before it is reported: the function delivers what is
// missing, from a list or a snapshot, and the events after it wait. A feed that begins with its
// present state ends that part with a message that has CaughtUp set, or with a Backfill;
// [Subscription.CaughtUp] waits until it is handled.
//
// A consumer that is slower than its feed fills the buffer ([Options.Buffer]). The subscription
// then stops reading, and nothing is dropped. [Options.Overflow] chooses another policy: to drop
// events, with a [Gap] in their place, to keep only the latest event of each key, or to end. A
// consumer that is faster than its feed waits. From 20,000 events a second on, it is not woken for
// each event, and may get an event 100 microseconds after it was received.
//
// # Stopping and pausing
//
// [Subscription.Close] ends a subscription within a second. Events in the buffer and those that are
// being handled are delivered again after a restart. [Subscription.Drain] takes in nothing more,
// waits until every event that was received is acknowledged, and saves the position; loops then end
// without an error. When the context given to Subscribe ends, only the events that are being
// handled are finished.
//
// [Subscription.Pause] stops taking events in and keeps the connection, until [Subscription.Resume].
//
// # Checkpoints
//
// The position of a subscription is one record in a [Store], under its [Options.Name]. Subscribe
// takes the record over. From then on, an older subscription of that name, in this process or in
// another one, can no longer save and ends with [ErrFenced]: a position never moves back. An idle
// subscription loads the record every 30 s to find out whether it is fenced. Acks are saved
// together, at most once every [Options.CommitEvery]. [Subscription.Commit] waits for the save.
//
// [ReadCheckpoint] and [SetCheckpoint] read and set a position from outside, for example to repeat a
// day or to skip an event; the program in examples/checkpoint does it from the command line. A
// subscription that runs meanwhile ends with ErrFenced. To make [Options.StartAfter] replace a stored
// position once, set [Options.OverrideID].
//
// Run one subscription of a name at a time. Replicas that restart on ErrFenced would take the
// record from each other again and again. The record therefore counts takeovers that follow each
// other within 15 minutes, unless the owner was closed. The first three are immediate, so that a
// process that crashes can be restarted. From the fourth on, Subscribe logs a warning and watches
// the record, which its owner now saves every second: a record that does not change for 3 s has
// no owner and is taken over. A record that changes is left to its owner for 15 s. Both times
// double with each takeover, up to 1 and 5 minutes. If another subscription takes the record over
// meanwhile, the wait starts again.
//
// An event that ends the process, such as one that exhausts its memory, is never refused: each
// restart meets it again. The record therefore counts the owners in a row that ended without moving
// the position and were not closed, or were closed because a loop's body panicked. After three of
// them, Subscribe hands out one event at a time: the next one only once the one before it is
// acknowledged, until the position has moved. The first one is the suspect, which is logged, and
// [Stats].Suspect is true. With [Options.DeadLetter], the record names the suspect before it is
// handed out. If that process ends too, the next Subscribe watches the record for 3 s, to find out
// whether its owner lives, and then passes the event to DeadLetter. A process that is killed for
// another reason while it handles a suspect alone cannot be told apart. With a negative
// CommitEvery, suspects are handed out alone and never dead-lettered.
//
// Where events change a database, save the position in the same transaction, so that each event
// takes effect exactly once: use a Store that saves through the open transaction and a negative
// CommitEvery, and for each event do the work, call [Event.Ack] and Commit, and commit the
// transaction. See the example of [Store].
//
// # Leases
//
// With [Options.Lease], the record has one owner at a time, and further subscriptions of the name are
// standbys: Subscribe returns at once, the state is StateStandby, and events arrive once the
// checkpoint was taken over. That happens within a second after the owner is closed, and otherwise
// once the record has not changed for the owner's Lease. The owner renews its lease with each save, at
// least each quarter of Lease. No clocks are compared: each process measures with its own.
//
//	for ctx.Err() == nil {
//		sub, err := client.Subscribe(ctx, feed, &client.Options{Name: "orders", Store: store, Lease: 15 * time.Second})
//		if err != nil {
//			return err
//		}
//		err = sub.Process(ctx, handle, nil)
//		sub.Close()
//		if !errors.Is(err, client.ErrFenced) {
//			return err
//		}
//	}
//
// An owner that cannot renew its lease, because its process was stopped or the Store does not answer,
// ends with ErrFenced before another one can take over: it closes the connection and hands out no
// further event. If the Store still does not answer when Subscribe is called again, Subscribe returns
// its error: retry that with a delay, or let the process be restarted. An event that is being handled at that moment may still be handled while its
// repetition is handled elsewhere. [Event.Epoch] grows with each owner, so that a database can refuse
// what a former owner writes. End a process with Drain and Close, and the next owner starts at once
// with nothing to repeat.
//
// All subscriptions of a name should have a Lease. Without one, a subscription waits for the lease of
// another, but is taken over from at once, and finds that out within 30 s. A lease is part of the
// record, so [SetCheckpoint] does not end it: the owner ends with ErrFenced at its next save, and a
// standby takes over once the lease is over.
//
// # Errors
//
// A failure that can be retried is retried under [Options.Retry] and reported only to
// [Options.Trace] and [Options.Logger]. The error that ends a loop is final: a [*StopError] with
// the last failure as its cause, [ErrFenced], a [*CheckpointError] when the store has lost the
// record, a [*RefusedError] for an event that was refused permanently, or the cause of the context
// given to Subscribe. Everything received is delivered before a *StopError. A feed that is complete
// ends the loop without an error.
//
// A wrong host name or certificate can be retried, too: without a Logger the loop waits
// silently. [Subscription.WaitConnected] returns such a failure when a program starts.
//
// # Log
//
// With [Options.Logger], these records are written, and no others. Each has the attribute subscription
// if there is an [Options.Name]. Attributes in brackets are not always present. Some messages continue
// with advice after a colon or semicolon:
//
//	message                                levels            attributes
//	connected                              INFO DEBUG        attempt resuming [failures outage]
//	connect failed                         WARN ERROR DEBUG  error class attempt failures outage delay
//	disconnected                           INFO WARN ERROR DEBUG  error class attempt failures outage delay
//	reconnecting                           INFO              reason
//	handover failed                        WARN DEBUG        error class attempt delay
//	events may be missing                  WARN DEBUG        reason [missed skipped]
//	backfill started                       INFO              reason
//	backfill finished                      INFO              events took attempt
//	backfill accepts the gap               INFO              events took attempt
//	backfill failed                        WARN ERROR DEBUG  error class attempt delay
//	buffer full, no event settled          WARN              full buffered attempt age [id]
//	events are settled again               INFO              full
//	handler panicked                       ERROR DEBUG       panic stack attempt [id skipped]
//	event dead-lettered                    WARN DEBUG        reason attempt [id skipped]
//	event not dead-lettered                WARN ERROR        error failures outage attempt [id]
//	events are dead-lettered again         INFO              failures outage
//	event refused permanently and dropped  ERROR DEBUG       error attempt [id skipped]
//	event may have ended the process       WARN              crashes attempt [id]
//	checkpoint not saved                   WARN ERROR        error failures outage
//	checkpoint saved again                 INFO              failures outage
//	checkpoint is contested                WARN              takeovers owner waiting_at_most
//	checkpoint is watched                  INFO              owner waiting_at_most
//	standing by                            INFO              owner epoch lease
//	checkpoint taken over                  INFO              epoch
//	checkpoint not taken over              WARN ERROR        error failures outage
//	stored position overridden             INFO              override_id
//	Dedupe has no effect                   WARN              events
//	Store has no effect                    WARN              events
//	SequenceOf has no effect               WARN              events
//	paused                                 INFO
//	resumed                                INFO
//	draining                               INFO              buffered
//	the feed is complete                   INFO              reason
//	ended                                  INFO              reason
//	ended                                  ERROR             error
//
// An outage lasts until a connection makes progress and either delivers an event or ends cleanly. The
// loss of a connection that has made progress is INFO: most often the next attempt succeeds. Of the
// failures after it, those are WARN that are the first one of their class, or the first one after 1, 3,
// 7, 15 minutes and so on, at least one an hour; the others are DEBUG. From 15 minutes on, they are
// ERROR, unless connections make progress in between. "connected" is DEBUG if no record above DEBUG has
// reported a disconnection since the previous "connected". The attribute failures counts all failures
// of the outage, and outage is the time since the first. Failed calls of Backfill, of DeadLetter and of
// the Store have the same intervals and levels. Of a handover, the first failed attempt is WARN.
//
// Of the records that each event may cause, ten are written, and then one after 1, 2, 4 minutes and so
// on, at least one an hour, until there was none for an hour. The others are DEBUG: events may be
// missing, handler panicked, event dead-lettered, event refused permanently. The attribute skipped is
// the number of those since the record before.
//
// In "connected", attempt is the number of the attempt. In records of failures it is the number of
// failures in a row without progress, and 0 when a connection that made progress ends. In records of
// events it is [Event].Attempt. The attribute delay is the time until the next attempt. "reconnecting"
// is the end of a connection by the subscription itself: Reconnect, a handover, a slow consumer, or a
// new position by Backfill. "the feed is complete" is written only if the transport gives a reason.
//
// A full buffer is reported when no event was settled for 30 s, and again after 90 s, 210 s and so on:
// the consumer hangs, or does not call Ack. The attributes attempt, age and id are those of the oldest
// event. An id is omitted if it is also the token, because a token can be a secret; [Trace].Stalled has
// it.
//
// # Panics
//
// A panic in a function of the program is never hidden. On a goroutine of the subscription it ends
// the process. That applies to TokenOf, Skip, SequenceOf, KeyOf, Backfill, DeadLetter,
// Retry.Classify, the functions of [Trace] except Nacked, the handler of Logger, a [Store] after
// Subscribe has returned, and the functions of transport.HTTP and transport.WebSocket. The stored
// record stays intact, and events that were not saved are delivered again.
//
// With a transport.Receiver, TokenOf, Skip, SequenceOf, Trace.Gap and Trace.Signal run on the
// goroutine of the sender's request. A panic there unwinds through the Receiver, which decides
// about the request: webhook.Receiver answers it with 500. The message was not accepted, and can
// be delivered again. webhook.Receiver answers a panic in a function of its provider with 500,
// too. A panic in its OnRejected reaches the HTTP server, which closes the connection. The
// subscription continues.
//
// The body of a loop, Trace.Nacked in it, and the Store during Subscribe run on the caller's
// goroutine. If the caller recovers, the current event is delivered again, no lock stays held, and a
// deferred Close works.
//
// A panic in a handler of Process, or in its KeyOf, refuses the event with a [*PanicError], and the
// process continues.
//
// # Goroutines
//
// A subscription has one standing goroutine. Each save, each attempt to open a successor of a
// connection, each wait of a transport.Receiver for space, its Backfill, its Drain, and the calls
// of DeadLetter have one while they last. [Subscription.Close] joins them all within a second.
// [Subscription.Process] has those of its workers, and of the timers of keys that are blocked, and
// joins them before it returns. Trace functions run on them, on the consumers' goroutines, and on
// those of a Receiver's requests.
//
// # Testing
//
// Package mock has feeds that misbehave on command, and everything here works in a
// testing/synctest bubble, where a day of reconnecting takes no time.
package client

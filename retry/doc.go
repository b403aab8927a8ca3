// Package retry decides whether and when to connect again after a failure.
//
// A [Policy] is plain data. [Policy.Start] creates a [Backoff] from it, one for each subscription,
// and [Backoff.Next] turns each failure into a [Decision]. The package never waits, dials or logs:
// its caller does.
//
// # Errors
//
// [Classify] returns the [Class] of an error. It depends on the methods of the error, not on its
// text or on a transport:
//
//	RejectsToken() bool        // true: the server no longer knows the position
//	StatusCode() int           // of an HTTP response; 0: there was none
//	Retryable() bool           // false: no later attempt can succeed
//	Protocol() bool            // true: the peer does not speak the expected protocol
//	RetryAfter() time.Duration // how long the server asks to wait; 0: it does not
//
// An error type may have any of them.
//
// # Progress
//
// A connection makes progress if one of these is true:
//
//   - It moved the position to resume from: the next request asks for something else.
//   - It delivered a new event, and it lasted a second or the server has named a reconnection time
//     (the SSE field retry): such a server ends its connections on purpose.
//   - It lasted [Policy.Healthy], 10 s by default, with or without events. A quiet feed that a
//     proxy cuts every minute makes progress.
//
// Progress starts a new run: all delays, counts and the elapsed time start again. A server that
// accepts every connection and closes it at once makes no progress, nor does one that answers 200
// with an error in JSON, which is a single event without a position: their delays grow to the
// maximum.
//
// # Final failures
//
// By default, a failure of [ClassPermanent] or [ClassAuth] is final, and so is the fourth one of
// [ClassProtocol] in a run, as long as no connection has made progress. After progress, ClassProtocol
// has no default limit, and a failure that contradicts the progress (a 4xx other than 401 and 410, a
// certificate that fails verification) is of ClassProtocol: operators fix a proxy without its routes,
// a maintenance page or a bad certificate, and then the feed continues.
//
// # Delays
//
// The delays of each class grow with its failures within a run. The delay that a server asks for
// (Retry-After, the SSE field retry) is a lower bound and is itself limited; the random part of a
// delay is added to it. By default, a delay is at most as long as the run so far, so that a short
// outage ends quickly, and half of it is random. A delay is never below [MinDelay]: a loop without a
// delay overloads a server, and in a testing/synctest bubble it stops the clock.
//
// The table shows how long feeds take to reconnect by default after an outage in which the
// server refused connections, and how many connect in the busiest second after it, of 5,000 that
// were lost at the same time:
//
//	outage  half of them  99 of 100  all    in the busiest second
//	1 s     0.3 s         0.9 s      1 s    5000
//	5 s     1.4 s         4.5 s      5 s    1800
//	1 min   11 s          27 s       30 s   250
//	10 min  11 s          27 s       30 s   250
//
// Each feed tries about 3 times in 1 s, 6 times in 5 s, 10 times in 1 min, and 34 times in 10 min.
// In the first second of an outage, each tries at least once.
//
// # Goroutines
//
// The package starts no goroutines. A Policy may be copied and shared; a Backoff belongs to one
// goroutine.
package retry

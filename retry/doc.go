// Package retry decides what follows a failure: whether to connect again, and when.
//
// A [Policy] is plain data. [Policy.Start] makes a [Backoff] of it, one for each
// subscription, and [Backoff.Next] turns each failure into a [Decision]. The package
// never waits, dials or logs: that is the caller's part.
//
// # Errors
//
// [Classify] sorts an error into a [Class] by what its methods say, so that it knows no
// transport and compares no text. The methods are
//
//	RejectsToken() bool        // true: the server no longer knows the position
//	StatusCode() int           // of an HTTP response; 0: there was none
//	Retryable() bool           // false: no later attempt can succeed
//	Protocol() bool            // true: the peer does not speak what was agreed
//	RetryAfter() time.Duration // how long the server asks to wait; 0: it does not
//
// and any error type may have some of them.
//
// # Progress
//
// A connection makes progress when one of these is true:
//
//   - It moved the position to resume from: the next request asks for something else.
//   - It brought a new event and lasted a second, or the server has named a reconnection
//     time (the SSE field retry): then to end each connection is its plan.
//   - It lasted [Policy.Healthy], 10 s by default, with or without events. A quiet feed
//     that a proxy cuts every minute makes progress.
//
// Progress starts a new run: every schedule, the count of attempts and the elapsed time
// begin again. A server that accepts every connection and closes it at once makes none,
// nor does one that answers 200 with an error in JSON, which is a single event without a
// position: their delays grow to the maximum.
//
// # What is final
//
// Permanent failures stop, and so do those of Auth. Failures of Protocol stop after
// [Policy.Protocol].Attempts in a run, three by default. All that is about the start. Once
// a connection of the subscription has made progress, Protocol has no limit, and what
// contradicts the progress (a 4xx other than 401 and 410, a certificate that fails
// verification) counts as Protocol: a proxy without its routes, a page of maintenance and
// a renewed certificate are mended by others, and the feed goes on then.
//
// # Delays
//
// Each class has a [Schedule] that grows with the failures of that class within a run.
// What the server asks for (Retry-After, the SSE field retry) is a lower bound and is
// itself clamped; the random part of a delay is added to it. By default, a delay that
// grows is never longer than the run so far, so that a short outage ends in a short time,
// and half of it is random. A delay is never below [MinDelay], whatever was configured or
// asked for: a loop without a delay hammers a server, and in a testing/synctest bubble it
// keeps the clock from moving.
//
// With [Default], when a server that refuses connections is back after an outage, this is
// how long its feeds take to be back, and how many connect in the busiest second after it,
// of 5,000 that were lost at the same time:
//
//	outage  half of them  99 of 100  all    in the busiest second
//	1 s     0.3 s         0.9 s      1 s    5000
//	5 s     1.4 s         4.5 s      5 s    1800
//	1 min   11 s          27 s       30 s   250
//	10 min  11 s          27 s       30 s   250
//
// Each of them has tried about 3 times in 1 s, 6 times in 5 s, 10 times in 1 min, and 34
// times in 10 min. In the first second of an outage, each tries at least once.
//
// # Goroutines
//
// Nothing here starts one. A Policy may be copied and used by many; a Backoff belongs to
// one goroutine.
package retry

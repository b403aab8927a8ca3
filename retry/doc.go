// Package retry decides what follows on a failure: whether to connect again, and when.
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
// A connection makes progress when it brought a new event or stayed up for
// [Policy.Healthy]. Progress starts a new run: every schedule, the count of attempts and
// the elapsed time begin again. A server that accepts every connection and then closes
// it with nothing makes none, however often it answers 200: its delays grow to the cap.
//
// # Delays
//
// Each class has a [Schedule] that grows with the failures of that class within a run.
// What the server asks for (Retry-After, the SSE field retry) comes in as a lower bound
// and is itself clamped; the random part of a delay is added afterwards and never takes
// anything away. A delay is never below 10 ms, whatever was configured or asked for: a
// loop without a delay hammers a server, and in a testing/synctest bubble it keeps the
// clock from moving.
//
// # Goroutines
//
// Nothing here starts one. A Policy may be copied and used by many; a Backoff belongs to
// one goroutine.
package retry

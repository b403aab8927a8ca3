package provider

import (
	"slices"
	"strconv"
	"time"
)

// Retry describes how a sender repeats a delivery that was not answered with a 2xx, as far as
// its documentation does. [sender.Client] repeats deliveries accordingly.
//
// [sender.Client]: https://pkg.go.dev/github.com/steadfeed/steadfeed/mock/sender#Client
type Retry struct {
	// Waits are the times between attempts. Empty but not nil: a single attempt. Default:
	// unknown.
	Waits []time.Duration

	// Verbatim means that every attempt repeats the first request, including its time and its
	// signature. The Scheme must then accept a signature as old as the last attempt. Default:
	// each attempt is signed anew.
	Verbatim bool

	// Final reports whether the sender stops repeating a delivery after an answer, or disables
	// the receiver. It may be called concurrently. Default: no answer is final.
	Final func(a Answer) bool

	// Count is where the sender puts the number of the attempt, and From is the number of the
	// first one, which may be missing. Default: none.
	Count Source
	From  int
}

// never is the Waits of a sender that does not repeat deliveries.
func never() []time.Duration { return []time.Duration{} }

// finalAfter returns a Final that accepts the given statuses.
func finalAfter(statuses ...int) func(Answer) bool {
	return func(a Answer) bool { return slices.Contains(statuses, a.Status) }
}

// finalUnless returns a Final that accepts every failure except the given statuses.
func finalUnless(statuses ...int) func(Answer) bool {
	return func(a Answer) bool { return a.Status >= 300 && !slices.Contains(statuses, a.Status) }
}

// attempt returns the number of the attempt, from 1, or 0 if it is unknown.
func (p *Provider) attempt(r *Request, payload *content) int {
	text := p.Retry.Count.value(r, payload)
	n, err := strconv.Atoi(text)
	if text == "" || err != nil || n < p.Retry.From || n-p.Retry.From > maxAttempt {
		return 0
	}
	return n - p.Retry.From + 1
}

// maxAttempt is above the number of attempts of any sender.
const maxAttempt = 1 << 20

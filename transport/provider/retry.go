package provider

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Retry is how a sender repeats a delivery that it did not get a 2xx for, as far as its
// documentation says. [mock.Sender] repeats like this.
//
// [mock.Sender]: https://pkg.go.dev/github.com/steadfeed/steadfeed/mock#Sender
type Retry struct {
	// Waits are the times between the attempts. Empty and not nil: there is one attempt only.
	// Default: unknown.
	Waits []time.Duration

	// Verbatim means that every attempt is the first request again, with the time and the
	// signature of that. The Scheme must then take a signature that is as old as the last
	// attempt. Default: each attempt is signed anew.
	Verbatim bool

	// Final reports whether the sender gives a delivery up after an answer, or disables the
	// receiver. It may be called concurrently. Default: no answer is final.
	Final func(a Answer) bool

	// Count is where the sender counts its attempts, and From the number of the first one,
	// which may be missing. Default: it does not count them.
	Count Source
	From  int
}

// never is for a sender that does not repeat a delivery by itself.
func never() []time.Duration { return []time.Duration{} }

// after makes a Final of statuses.
func after(statuses ...int) func(Answer) bool {
	return func(a Answer) bool { return slices.Contains(statuses, a.Status) }
}

// afterAllBut makes a Final of every failure but those of some statuses.
func afterAllBut(statuses ...int) func(Answer) bool {
	return func(a Answer) bool { return a.Status >= 300 && !slices.Contains(statuses, a.Status) }
}

// attempt returns which attempt a request is, 0 if it does not say.
func (p *Provider) attempt(r *Request, payload *content) int {
	text := p.Retry.Count.in(r, payload)
	n, err := strconv.Atoi(text)
	if text == "" || err != nil || n < p.Retry.From || n-p.Retry.From > maxAttempt {
		return 0
	}
	return n - p.Retry.From + 1
}

// maxAttempt is more than any sender makes.
const maxAttempt = 1 << 20

// again is the answer to a proof that does not match, for a sender that would give the
// delivery up after 401: the secret may be in rotation.
func again() Answer { return Answer{Status: http.StatusServiceUnavailable} }

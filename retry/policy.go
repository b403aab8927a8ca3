package retry

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// A Policy decides what to do after each failure. The zero value is the default policy, for feeds
// that are read indefinitely: its delays grow and are partly random, and it stops only after the
// failures that the package documentation lists as final. A zero field has the default that its
// comment names. A negative one turns off what the field does; only Base and Cap must not be
// negative.
type Policy struct {
	// Reconnect is the maximum delay after a connection that made progress and was then lost or
	// ended cleanly; the delay is random between 0 and Reconnect. The SSE field retry replaces it,
	// with the same random part added. If negative, the end of such a connection is final.
	// Default: 1 s.
	Reconnect time.Duration

	// Base is the delay after the first failure of a class in a run. It doubles with each further
	// one, up to Cap. Base and Cap apply to all classes except ClassRateLimited; Classes overrides
	// them. A value below MinDelay means MinDelay.
	// Default: 0.5 s for ClassNetwork, 5 s for ClassAuth, 1 s for the others, but at most Cap.
	Base time.Duration
	// Cap is the maximum delay. A server may ask for a longer one, and Jitter may add to it. If
	// Base and Cap are equal, the SSE field retry replaces the delays of ClassNetwork; otherwise it
	// is a lower bound for them. Default: 30 s for ClassNetwork and ClassTokenRejected, 60 s for
	// ClassServer and ClassProtocol, 5 min for ClassAuth, but at least Base.
	Cap time.Duration

	// Jitter is the share of each delay that is added to it at random: 0.1 makes delays up to a
	// tenth longer. If negative, nothing is random. Default: 0.2 for ClassRateLimited, because an
	// early attempt would fail again. The delays of other classes are first reduced to the time
	// since the last progress, but not below Base; their upper half is then random.
	Jitter float64

	// Classes holds what is different for some classes. ClassPermanent cannot be one of them.
	// Default: none.
	Classes map[Class]Rule

	// MaxAttempts is the number of failures in a row without progress, of any class, after which
	// no further attempt is made. Default: no limit.
	MaxAttempts int
	// MaxElapsed is the maximum time between the last progress, or Start, and the start of another
	// attempt. Default: no limit.
	MaxElapsed time.Duration

	// Healthy is how long a connection must last to count as progress without events. If negative,
	// only events and positions count. Default: 10 s.
	Healthy time.Duration

	// MaxServerDelay limits the delay that a server asks for, in a Retry-After (RFC 9110, section
	// 10.2.3) or an SSE retry field. If negative, both are ignored.
	// Default: 15 min for Retry-After, 5 min for retry.
	MaxServerDelay time.Duration

	// Classify, if set, is called for each failure before [Classify]. attempt is the number of
	// failures in a row without progress, including this one. errors.As finds the status, header
	// and body in err. If Classify returns false, the default classification applies. It must not
	// block. Default: none.
	Classify func(err error, attempt int) (class Class, ok bool)
}

// A Rule is what a [Policy] does after the failures of one class. A zero field has the value that
// it would have without the Rule.
type Rule struct {
	Base time.Duration // like Policy.Base
	Cap  time.Duration // like Policy.Cap; ClassRateLimited has 5 s and 15 min by default

	// MaxAttempts is the number of failures of the class in a run after which no further attempt
	// is made: 1 makes the first one final. Negative means no limit. Base and Cap of ClassAuth
	// require it. Default: 1 for ClassAuth; 4 for ClassProtocol until a connection has made
	// progress; otherwise no limit.
	MaxAttempts int
}

// Constant returns a policy whose delays are all d, without a random part. It suits tests and
// examples: clients that lose a server at the same time would all return at the same time. A server
// may ask for another delay. Final failures, such as a 401, end the loop as with any policy.
func Constant(d time.Duration) Policy {
	d = max(d, MinDelay)
	return Policy{
		Reconnect: d, Base: d, Cap: d, Jitter: -1,
		Classes: map[Class]Rule{ClassRateLimited: {Base: d, Cap: d}},
	}
}

// MCP returns a policy for the streamable HTTP of the Model Context Protocol, whose servers end a
// response and name in its retry field when the client must ask again (revision 2025-11-25). After a
// response that ended, broke or did not come, the delay is the one named, or 1 s if there is none,
// and up to 100 ms more; it does not grow. The delays of the other classes have their defaults, with
// a random part of a tenth. Many clients of one server return almost at once: the default policy
// spreads them.
func MCP() Policy {
	return Policy{
		Jitter:  0.1,
		Classes: map[Class]Rule{ClassNetwork: {Base: time.Second, Cap: time.Second}},
	}
}

// Never returns a policy that stops at the first failure and at the first end of a connection.
func Never() Policy { return Policy{Reconnect: -1, MaxAttempts: 1} }

// Start returns a Backoff for one subscription, whose first run starts now. Later changes of p do
// not affect it. It does not fail: what Validate rejects counts as zero.
func (p Policy) Start() *Backoff {
	p.setDefaults()
	p.Classes = maps.Clone(p.Classes)
	return &Backoff{policy: p, since: time.Now()}
}

// Validate returns everything that is wrong with p, as errors joined by errors.Join. Each names its
// field, in the form "Retry.Classes[network].Cap: ...".
func (p Policy) Validate() error {
	errs := Rule{Base: p.Base, Cap: p.Cap}.problems("Retry.")
	if !finite(p.Jitter) {
		errs = append(errs, fmt.Errorf("Retry.Jitter: %v is not a finite number", p.Jitter))
	}
	for _, c := range slices.Sorted(maps.Keys(p.Classes)) {
		name, r := fmt.Sprintf("Retry.Classes[%v]", c), p.Classes[c]
		switch {
		case c == ClassPermanent:
			errs = append(errs, fmt.Errorf("%s: a permanent failure is never retried: let Classify return another class", name))
		case c > ClassPermanent:
			errs = append(errs, fmt.Errorf("%s: is not a class", name))
		case c == ClassAuth && r.MaxAttempts == 0 && r != Rule{}:
			errs = append(errs, fmt.Errorf("%s.MaxAttempts: is required with the other fields: the first failure is final by default", name))
		}
		errs = append(errs, r.problems(name+".")...)
	}
	return errors.Join(errs...)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

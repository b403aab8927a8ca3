package retry

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// A Policy says what to do after each failure. The zero value is [Default]. To change a
// preset, change its fields; [Policy.Start] takes a copy.
type Policy struct {
	// Reconnect holds the delay after a connection that made progress and was then
	// lost, or ended cleanly. It never grows: with the next progress it is the
	// first delay again, and without it the failure is one of the classes below.
	// The SSE field retry replaces it, with the same random part added to it.
	// Of Attempts only a negative number has a meaning. Default: 0 to 1 s at random.
	Reconnect Schedule

	// Network holds the delays after attempts and connections that brought nothing.
	// The SSE field retry is a lower bound for them; if they are constant, it replaces
	// them. Default: 0.5 s, doubled to 30 s.
	Network Schedule
	// Server holds the delays after 408, 409, 421, 425 and 5xx.
	// Default: 1 s, doubled to 60 s.
	Server Schedule
	// RateLimited holds the delays after 420 and 429, and after other 4xx with a
	// Retry-After or a rate limit that is used up. Default: 5 s, doubled to 15 min.
	RateLimited Schedule
	// Auth holds the delays after 401. A transport that can get new credentials has
	// tried with them before it fails. Attempts must be set for the other fields to
	// have a meaning. Default: stop.
	Auth Schedule
	// Protocol holds the delays after an answer that is not a feed, such as an HTML page
	// with status 200. A positive Attempts limits them until a connection has made
	// progress. From then on there is no limit, and a 4xx other than 401 and 410 and a
	// certificate that fails verification are of this class too; see the package comment.
	// Default: 3 times, 1 s, doubled to 60 s.
	Protocol Schedule
	// TokenRejected holds the delays before the feed is read from another position.
	// Default: 1 s, doubled to 30 s.
	TokenRejected Schedule

	// Healthy is how long a connection must last to be progress whatever it brought.
	// Negative: only events and positions count. Default: 10 s.
	Healthy time.Duration

	// MaxAttempts is how many failures without progress in a row, of whichever class,
	// end it all. Default: no limit.
	MaxAttempts int
	// MaxElapsed ends it all when the next attempt would begin later than this after
	// the last progress, or after Start. Default: no limit.
	MaxElapsed time.Duration

	// MaxRetryAfter is the most of a Retry-After (RFC 9110, section 10.2.3) that is
	// waited for, in any class. Negative: it is ignored. Default: 15 min.
	MaxRetryAfter time.Duration
	// MaxServerDelay is the maximum of an SSE retry field that is waited for. Negative:
	// the field is ignored. Default: 5 min.
	MaxServerDelay time.Duration

	// Classify, if set, is asked about each failure before [Classify] is. attempt
	// counts the failures without progress in a row, this one included. Status, header
	// and body are to be had from err with errors.As. With false the default
	// classification applies. It must not block. Default: none.
	Classify func(err error, attempt int) (class Class, ok bool)
}

// Start returns a Backoff for one subscription, whose first run begins now.
// It does not fail: a Schedule that Validate refuses counts as zero.
func (p Policy) Start() *Backoff {
	return &Backoff{policy: p.orDefault(), since: time.Now()}
}

// Validate returns everything that is wrong with p, as errors joined by errors.Join.
// Each names its field, in the form "Retry.Network.Max: ...".
func (p Policy) Validate() error {
	var errs []error
	for _, s := range []struct {
		name string
		Schedule
	}{
		{"Reconnect", p.Reconnect}, {"Network", p.Network}, {"Server", p.Server},
		{"RateLimited", p.RateLimited}, {"Auth", p.Auth}, {"Protocol", p.Protocol},
		{"TokenRejected", p.TokenRejected},
	} {
		for _, err := range s.problems() {
			errs = append(errs, fmt.Errorf("Retry.%s.%w", s.name, err))
		}
	}
	if p.Reconnect.Attempts > 0 {
		errs = append(errs, errors.New("Retry.Reconnect.Attempts: is counted anew after each progress, so that a limit has no effect"))
	}
	if p.Auth != (Schedule{}) && p.Auth.Attempts == 0 {
		errs = append(errs, errors.New("Retry.Auth.Attempts: none by default, so that the other fields have no effect without it"))
	}
	return errors.Join(errs...)
}

// orDefault returns p with its zero fields taken from Default.
func (p Policy) orDefault() Policy {
	def := Default()
	p.Reconnect = p.Reconnect.or(def.Reconnect)
	p.Network = p.Network.or(def.Network)
	p.Server = p.Server.or(def.Server)
	p.RateLimited = p.RateLimited.or(def.RateLimited)
	p.Auth = p.Auth.or(def.Auth)
	p.Protocol = p.Protocol.or(def.Protocol)
	p.TokenRejected = p.TokenRejected.or(def.TokenRejected)
	p.Healthy = cmp.Or(p.Healthy, def.Healthy)
	p.MaxRetryAfter = min(cmp.Or(p.MaxRetryAfter, def.MaxRetryAfter), longest)
	p.MaxServerDelay = min(cmp.Or(p.MaxServerDelay, def.MaxServerDelay), longest)
	return p
}

// schedule returns the schedule of a class that has one.
func (p *Policy) schedule(c Class) Schedule {
	switch c {
	case Server:
		return p.Server
	case RateLimited:
		return p.RateLimited
	case Auth:
		return p.Auth
	case Protocol:
		return p.Protocol
	case TokenRejected:
		return p.TokenRejected
	case Permanent:
		return never
	}
	return p.Network
}

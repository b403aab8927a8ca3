package retry

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// A Policy decides what to do after each failure. The zero value is [Default]. To change a preset,
// change its fields; [Policy.Start] takes a copy.
type Policy struct {
	// Reconnect holds the delay after a connection that made progress and was then lost or ended
	// cleanly. It never grows: it follows progress only, and all other failures are of the classes
	// below. The SSE field retry replaces it, with the same random part added. Validate rejects a
	// positive Attempts. Default: random between 0 and 1 s.
	Reconnect Schedule

	// Network holds the delays after attempts and connections without progress. The SSE field retry
	// is a lower bound for them; if they are constant, it replaces them.
	// Default: 0.5 s, doubled up to 30 s.
	Network Schedule
	// Server holds the delays after 408, 409, 421, 425 and 5xx.
	// Default: 1 s, doubled up to 60 s.
	Server Schedule
	// RateLimited holds the delays after 420 and 429, and after any other 4xx with a Retry-After or
	// an exhausted rate limit. Default: 5 s, doubled up to 15 min.
	RateLimited Schedule
	// Auth holds the delays after 401. A transport that can get new credentials has already tried
	// them. The other fields require Attempts. Default: stop.
	Auth Schedule
	// Protocol holds the delays after a response that is not a feed, such as an HTML page with
	// status 200. A positive Attempts limits them until a connection has made progress. From then
	// on there is no limit, and a 4xx other than 401 and 410 and a certificate that fails
	// verification are of this class, too; see the package documentation.
	// Default: 3 retries, after 1 s, doubled up to 60 s.
	Protocol Schedule
	// TokenRejected holds the delays before the feed is read from another position.
	// Default: 1 s, doubled up to 30 s.
	TokenRejected Schedule

	// Healthy is how long a connection must last to count as progress without events. If negative,
	// only events and positions count. Default: 10 s.
	Healthy time.Duration

	// MaxAttempts is the number of failures in a row without progress, of any class, after which
	// no further attempt is made. Default: no limit.
	MaxAttempts int
	// MaxElapsed is the maximum time between the last progress, or Start, and the start of another
	// attempt. Default: no limit.
	MaxElapsed time.Duration

	// MaxRetryAfter limits the delay of a Retry-After (RFC 9110, section 10.2.3), in any class. If
	// negative, Retry-After is ignored. Default: 15 min.
	MaxRetryAfter time.Duration
	// MaxServerDelay limits the delay of an SSE retry field. If negative, the field is ignored.
	// Default: 5 min.
	MaxServerDelay time.Duration

	// Classify, if set, is called for each failure before [Classify]. attempt is the number of
	// failures in a row without progress, including this one. errors.As finds the status, header
	// and body in err. If Classify returns false, the default classification applies. It must not
	// block. Default: none.
	Classify func(err error, attempt int) (class Class, ok bool)
}

// Start returns a Backoff for one subscription, whose first run starts now. It does not fail: a
// Schedule that Validate rejects counts as zero.
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
		errs = append(errs, errors.New("Retry.Reconnect.Attempts: remove it: the count starts again after each progress, so that a limit has no effect"))
	}
	if p.Auth != (Schedule{}) && p.Auth.Attempts == 0 {
		errs = append(errs, errors.New("Retry.Auth.Attempts: is required with the other fields: the default is to stop"))
	}
	return errors.Join(errs...)
}

// orDefault returns p with its zero fields set to those of Default.
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

// schedule returns the schedule of a class.
func (p *Policy) schedule(c Class) Schedule {
	switch c {
	case ClassServer:
		return p.Server
	case ClassRateLimited:
		return p.RateLimited
	case ClassAuth:
		return p.Auth
	case ClassProtocol:
		return p.Protocol
	case ClassTokenRejected:
		return p.TokenRejected
	case ClassPermanent:
		return never
	}
	return p.Network
}

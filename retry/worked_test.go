package retry_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// What stops a subscription at its start is retried once a connection has made progress.
func TestWhatWorkedIsExpectedBack(t *testing.T) {
	for name, tt := range map[string]struct {
		err     error
		at      retry.Class // at the start
		tries   int         // before it stops there
		stopped bool        // although it has worked
	}{
		"400":               {err: status(400), at: retry.ClassPermanent},
		"403":               {err: status(403), at: retry.ClassPermanent},
		"404 of a proxy":    {err: fmt.Errorf("open: %w", status(404)), at: retry.ClassPermanent},
		"451":               {err: status(451), at: retry.ClassPermanent},
		"HTML page":         {err: garbage{}, at: retry.ClassProtocol, tries: 3},
		"alert":             {err: alert(116), at: retry.ClassProtocol, tries: 3},
		"unknown authority": {err: x509.UnknownAuthorityError{}, at: retry.ClassPermanent},

		"204":                 {err: status(204), at: retry.ClassPermanent, stopped: true},
		"401":                 {err: status(401), at: retry.ClassAuth, stopped: true},
		"410":                 {err: status(410), at: retry.ClassPermanent, stopped: true},
		"not to be retried":   {err: mendable{false, nil}, at: retry.ClassPermanent, stopped: true},
		"a wrapper that says": {err: mendable{false, status(404)}, at: retry.ClassPermanent, stopped: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := still(retry.Policy{}).Start()
			for i := range tt.tries {
				check(t, b, retry.Failure{Err: tt.err}, again(tt.at, sec<<i, i+1))
			}
			check(t, b, retry.Failure{Err: tt.err}, retry.Decision{Class: tt.at, Stop: true, Attempt: tt.tries + 1})

			b = still(retry.Policy{}).Start()
			check(t, b, lost, again(retry.ClassNetwork, sec, 0))
			if tt.stopped {
				check(t, b, retry.Failure{Err: tt.err}, retry.Decision{Class: tt.at, Stop: true, Attempt: 1})
				return
			}
			for i, d := range doubled(sec, minute, 50) {
				check(t, b, retry.Failure{Err: tt.err}, again(retry.ClassProtocol, d, i+1))
			}
		})
	}
}

// Other limits apply all the same.
func TestWorkedIsNotWithoutLimits(t *testing.T) {
	stop := func(c retry.Class, attempt int) retry.Decision {
		return retry.Decision{Class: c, Stop: true, Attempt: attempt}
	}
	for name, tt := range map[string]struct {
		policy retry.Policy
		want   retry.Decision
	}{
		"rule":        {rule(retry.ClassProtocol, retry.Rule{MaxAttempts: 1}), stop(retry.ClassProtocol, 1)},
		"MaxAttempts": {retry.Policy{MaxAttempts: 1}, stop(retry.ClassProtocol, 1)},
		"MaxElapsed":  {retry.Policy{MaxElapsed: 2 * sec, Base: 3 * sec}, stop(retry.ClassProtocol, 1)},
		"Classify": {retry.Policy{Classify: func(err error, _ int) (retry.Class, bool) {
			return retry.ClassPermanent, !errors.Is(err, io.EOF)
		}}, stop(retry.ClassPermanent, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			b := still(tt.policy).Start()
			if d := b.Next(lost); d.Stop {
				t.Fatalf("%+v", d)
			}
			check(t, b, retry.Failure{Err: status(404)}, tt.want)
		})
	}
}

// A server that names a reconnection time plans to end each connection; one that does not
// repeats an error.
func TestAnswerThatEndsAtOnce(t *testing.T) {
	checkDelays(t, still(retry.Policy{}), retry.Failure{Err: io.EOF, Events: 1},
		[]time.Duration{500 * ms, sec, 2 * sec, 4 * sec, 8 * sec, 16 * sec, 30 * sec})
	checkDelays(t, still(retry.Policy{}), retry.Failure{Err: io.EOF, Events: 1, ServerDelay: 2 * sec}, repeat(2*sec, 9))
	checkDelays(t, still(retry.Policy{}), retry.Failure{Err: io.EOF, Events: 1, ServerDelay: retry.MinDelay}, repeat(10*ms, 9))
}

// A connection that the caller ended counts as well.
func TestProgressOfAConnectionThatWasReplaced(t *testing.T) {
	b := still(retry.Policy{}).Start()
	check(t, b, nothing, again(retry.ClassNetwork, 500*ms, 1))
	if b.Progress(nothing) {
		t.Error("a connection that brought nothing made progress")
	}
	check(t, b, nothing, again(retry.ClassNetwork, sec, 2))
	if !b.Progress(retry.Failure{Uptime: minute}) {
		t.Error("a minute is no progress")
	}
	check(t, b, retry.Failure{Err: status(404)}, again(retry.ClassProtocol, sec, 1))
}

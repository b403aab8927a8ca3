package provider

import (
	"errors"
	"fmt"
	"strings"

	"github.com/steadfeed/steadfeed/transport/internal/joined"
)

// A refusal is a request that is not taken. Its text holds neither secrets nor anything
// that an expected signature could be learnt from.
type refusal struct {
	provider, reason string
	doubts           string // what may be the reason
	forged, busy     bool
	challenge        string // what the sender may prove itself with; see Challenge
}

func (e *refusal) Error() string {
	text := e.reason
	if e.doubts != "" {
		text += ": " + e.doubts
	}
	if e.provider == "" {
		return "provider: " + text
	}
	return "provider: " + e.provider + ": " + text
}

// Forged tells whether the request was not sent, or not now, by who knows the secret.
func (e *refusal) Forged() bool { return e.forged }

// Challenge returns the WWW-Authenticate of a 401, or "" (RFC 9110, section 11.6.1). Some
// senders send their name and password only after one.
func (e *refusal) Challenge() string { return e.challenge }

// Busy tells whether the request may well be good, and there was no time to see.
func (e *refusal) Busy() bool { return e.busy }

// forged is every way in which a proof can fail, staleness included: whoever tries to
// forge a request shall not learn how far he came.
func forged() error { return &refusal{reason: "verification failed", forged: true} }

func malformed(format string, args ...any) error {
	return &refusal{reason: fmt.Sprintf(format, args...)}
}

func busy() error {
	return &refusal{reason: "the request ended before its signature was verified", busy: true}
}

func isForged(err error) bool {
	r, ok := err.(*refusal)
	return ok && r.forged
}

func isChallenge(err error) bool {
	r, ok := err.(*refusal)
	return ok && r.challenge != ""
}

func isBusy(err error) bool {
	r, ok := err.(*refusal)
	return ok && r.busy
}

// named puts the provider's name into an error.
func (p *Provider) named(err error) error {
	if err == nil {
		return nil
	}
	list := joined.List(err)
	if len(list) > 1 {
		var errs []error
		for _, err := range list {
			errs = append(errs, p.named(err))
		}
		return errors.Join(errs...)
	}
	err = list[0]
	if r, ok := err.(*refusal); ok {
		named := &refusal{provider: p.Name, reason: r.reason, forged: r.forged, busy: r.busy, challenge: r.challenge}
		if r.forged {
			named.doubts = p.keys.Load().doubts
		}
		return named
	}
	if p.Name == "" {
		return fmt.Errorf("provider: %w", err)
	}
	return fmt.Errorf("provider: %s: %w", p.Name, err)
}

const (
	doubtSecret = "wrong secret"
	doubtBody   = "body modified in transit"
	doubtURL    = "Webhook.URL differs from the sender's URL"
	doubtClock  = "clock skew"
)

// anyOf lists every reason why a proof may not match: the operator learns where to look, and
// a forger does not learn which check failed.
func anyOf(doubts ...string) string {
	last := len(doubts) - 1
	return strings.Join(doubts[:last], ", ") + ", or " + doubts[last]
}

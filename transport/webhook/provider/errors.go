package provider

import (
	"errors"
	"fmt"
	"strings"

	"github.com/steadfeed/steadfeed/transport/internal/joined"
)

// A refusal is the error of a request that is not accepted. Its text holds no secret, and
// nothing that reveals the expected signature.
type refusal struct {
	provider, reason string
	causes           string // the possible causes
	forged, busy     bool
	unknown          bool   // the tenant is
	large            bool   // the body is
	challenge        string // see Challenge
}

func (e *refusal) Error() string {
	text := e.reason
	if e.causes != "" {
		text += ": " + e.causes
	}
	if e.provider == "" {
		return "provider: " + text
	}
	return "provider: " + e.provider + ": " + text
}

// Forged reports whether the signature or token does not match, or its timestamp is outside
// the tolerance.
func (e *refusal) Forged() bool { return e.forged }

// Challenge returns the WWW-Authenticate header of a 401, or "" (RFC 9110, section 11.6.1).
// Some senders send their credentials only after one.
func (e *refusal) Challenge() string { return e.challenge }

// Unknown reports whether the tenant is unknown. Forged is then true as well.
func (e *refusal) Unknown() bool { return e.unknown }

// TooLarge reports whether the decompressed body is too large.
func (e *refusal) TooLarge() bool { return e.large }

// Busy reports whether the request could not be verified for now, and should be sent again.
func (e *refusal) Busy() bool { return e.busy }

// forged returns the error of every failed verification, including one that failed because of
// its timestamp, so that a forger cannot tell which check failed.
func forged() error { return &refusal{reason: failed, forged: true} }

const failed = "verification failed"

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

func isBusy(err error) bool {
	r, ok := err.(*refusal)
	return ok && r.busy
}

// named adds the name of the provider to an error.
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
		named := *r
		named.provider = p.Name
		if r.reason == failed {
			named.causes = p.causes()
		}
		return &named
	}
	if p.Name == "" {
		return fmt.Errorf("provider: %w", err)
	}
	return fmt.Errorf("provider: %s: %w", p.Name, err)
}

// causes returns the possible causes of a failed verification.
func (p *Provider) causes() string {
	if set := p.secrets.Load(); set != nil && set.v != nil {
		return set.causes
	}
	return p.traits().causes
}

const (
	causeSecret = "wrong secret"
	causeBody   = "body modified in transit"
	causeURL    = "Receiver.URL differs from the sender's URL"
	causeClock  = "clock skew"
)

// oneOf lists every possible cause of a failed verification: an operator learns where to look,
// and a forger does not learn which check failed.
func oneOf(causes ...string) string {
	last := len(causes) - 1
	if last == 0 {
		return causes[0]
	}
	return strings.Join(causes[:last], ", ") + ", or " + causes[last]
}

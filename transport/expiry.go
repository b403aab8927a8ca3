package transport

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	longestLead = time.Minute      // unit of the time between the replacement of a connection and its expiry
	minAge      = 10 * time.Second // of a connection that is replaced because of its expiry
)

// ReplaceBefore has the connection that ctx belongs to replaced before t, for example because its
// credentials expire then or because the server has announced its end. ctx is the context of
// Prepare's request, of resp.Request in OnResponse, or of OnConnect; or Socket.Context.
//
//	Prepare: func(req *http.Request) error {
//		token, err := tokens.Token() // an oauth2.TokenSource
//		if err != nil {
//			return err
//		}
//		token.SetAuthHeader(req)
//		transport.ReplaceBefore(req.Context(), token.Expiry)
//		return nil
//	}
//
// The connection is replaced as after its MaxConnectionAge: with Overlap, the next one is opened
// first. That begins one to two minutes before t, or a tenth to a fifth of the time until t if that
// is shorter, so that many feeds with one credential do not renew at once, and no sooner than
// after ten seconds. By then Prepare must have fresh credentials, so a cache must renew them two
// minutes early, as with oauth2.ReuseTokenSourceWithExpiry. The same t again leads to another
// replacement, closer to it.
//
// The earliest of several times applies. A rejected request's time does not count. A zero t has no
// effect, and neither has any other context or a feed whose request must not be sent again (see
// HTTP.MaxConnectionAge). ReplaceBefore may be called from any goroutine.
func ReplaceBefore(ctx context.Context, t time.Time) {
	if e, ok := ctx.Value(expiryKey{}).(*expiry); ok && !t.IsZero() {
		e.set(t)
	}
}

type expiryKey struct{}

// An expiry is the time before which a connection must be replaced, as far as it is known.
type expiry struct {
	mu     sync.Mutex
	at     time.Time                           // zero: unknown
	arm    func(d time.Duration) (stop func()) // replaces the connection after d; nil until it is open
	disarm func()                              // stops the last arm, or nil
	due    time.Time                           // when that replaces the connection
}

// withExpiry returns a context whose ReplaceBefore sets e.
func withExpiry(ctx context.Context, e *expiry) context.Context {
	return context.WithValue(ctx, expiryKey{}, e)
}

func (e *expiry) set(t time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.at.IsZero() && !t.Before(e.at) {
		return
	}
	e.at = t
	e.rearm()
}

// start is called once the connection is open. arm must not wait, and neither must stop. arm is called
// again for an earlier time, after stop.
func (e *expiry) start(arm func(d time.Duration) (stop func())) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.arm = arm
	e.rearm()
}

// rearm has the connection replaced, unless that is already due earlier. The caller holds mu.
func (e *expiry) rearm() {
	if e.arm == nil || e.at.IsZero() {
		return
	}
	d := replaceAfter(e.at)
	due := time.Now().Add(d)
	if e.disarm != nil {
		if !due.Before(e.due) {
			return
		}
		e.disarm()
	}
	e.disarm, e.due = e.arm(d), due
}

// replaceAfter returns the time until a connection that expires at t is replaced.
func replaceAfter(t time.Time) time.Duration {
	left := time.Until(t)
	lead := max(min(left/10, longestLead), 0)
	return max(left-lead-rand.N(lead+1), minAge)
}

// withinAge returns when to replace a connection that must not become older than limit.
func withinAge(limit time.Duration) time.Duration { return limit - rand.N(limit/50+1) }

// An announcement is the announcement of a connection that it must be replaced.
type announcement struct {
	mu      sync.Mutex
	replace func() // opens a successor; nil until onExpiring is called
	made    bool
}

// make reports whether the announcement was not made before.
func (a *announcement) make() bool {
	a.mu.Lock()
	first, replace := !a.made, a.replace
	a.made = true
	a.mu.Unlock()
	if first && replace != nil {
		replace()
	}
	return first
}

// onExpiring is Session.OnExpiring.
func (a *announcement) onExpiring(replace func()) {
	a.mu.Lock()
	a.replace = replace
	made := a.made
	a.mu.Unlock()
	if made {
		replace()
	}
}

package provider

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	maxKeys      = 64               // in one cache
	maxFetches   = 4                // at once
	maxNewNames  = 20               // a minute
	keysCooldown = 30 * time.Second // between two fetches of a name
)

// Keys fetches keys by name and caches them, for schemes whose keys are public: certificates by
// URL, key sets, or keys by their id. A request may choose the name, but not how often
// something is fetched: a name is fetched at most once in 30 s, whatever the outcome, at most 20
// names that are not cached are fetched in a minute, and at most four at once. Concurrent
// requests for one name share one fetch. A failure is remembered as well. A cache holds up to 64
// names; those without a key are evicted first.
//
// Use it as *Keys. Its methods may be called concurrently.
type Keys[K any] struct {
	// Fetch returns the key of a name, and the time until which it may be used. The zero time
	// means an hour. ctx ends after 5 s.
	//
	// An error with a method Forged() bool that returns true means that there is no such key. Any
	// other error is a failure that may pass. The text of an error may be logged. Fetch may be
	// called concurrently. Required.
	Fetch func(ctx context.Context, name string) (key K, until time.Time, err error)

	// Stale is how long a key is used after it should have been fetched again, while that fails.
	// Default: not at all.
	Stale time.Duration

	mu      sync.Mutex // not held during a fetch
	known   map[string]*fetched[K]
	running int       // fetches
	minute  time.Time // when the current minute began
	newest  int       // names that were fetched in it and are new
}

// fetched is the outcome of the last fetch of a name. Keys.mu guards it.
type fetched[K any] struct {
	key   K
	has   bool // key is set
	until time.Time
	began time.Time     // the last fetch
	err   error         // of the last fetch
	ended chan struct{} // closed when the current fetch ends; nil: there is none
}

// Key returns the key of a name. Its error, if any, has either a method Forged() bool or a
// method Busy() bool that returns true. It waits for a fetch that another request has begun until
// r.Context or r.Deadline ends. A fetch that it begins itself ends only after up to 5 s, so that a
// sender that hangs up does not spoil it for the others.
func (k *Keys[K]) Key(r *Request, name string) (K, error) {
	key, _, err := k.find(r, name, false)
	return key, err
}

// Renewed is Key for a caller that Key's result does not satisfy, because the key may have been
// replaced. It fetches the key again, unless that was done less than 30 s ago. fresh reports
// whether the key was fetched after Renewed was called.
func (k *Keys[K]) Renewed(r *Request, name string) (key K, fresh bool, err error) {
	return k.find(r, name, true)
}

func (k *Keys[K]) find(r *Request, name string, renew bool) (key K, fresh bool, err error) {
	now := time.Now()
	k.mu.Lock()
	f := k.known[name]
	if f != nil {
		usable := f.usable(now, k.Stale)
		switch {
		case !renew && f.has && now.Before(f.until), !renew && usable && f.ended != nil:
			defer k.mu.Unlock()
			return f.key, false, nil
		case f.ended != nil:
			return k.join(r, f, renew)
		case now.Sub(f.began) < keysCooldown && usable && (!renew || f.err == nil):
			defer k.mu.Unlock()
			return f.key, false, nil
		case now.Sub(f.began) < keysCooldown:
			defer k.mu.Unlock()
			return key, false, f.failure()
		}
	}
	if !k.allow(now, f == nil) {
		defer k.mu.Unlock()
		if f != nil && !renew && f.usable(now, k.Stale) {
			return f.key, false, nil
		}
		return key, false, errTooMany
	}
	if f == nil {
		f = k.add(name)
	}
	f.began, f.ended = now, make(chan struct{})
	k.running++
	k.mu.Unlock()
	k.fetch(f, name)

	k.mu.Lock()
	defer k.mu.Unlock()
	return f.outcome(k.Stale, renew)
}

// join waits for the fetch of f, which another request has begun. It releases k.mu.
func (k *Keys[K]) join(r *Request, f *fetched[K], renew bool) (key K, fresh bool, err error) {
	ended := f.ended
	k.mu.Unlock()
	ctx, cancel := r.context()
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
		err = busy()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		return key, false, err
	}
	return f.outcome(k.Stale, renew)
}

// fetch fetches f. It does not end with the request: a sender that hangs up must not spoil the
// fetch for the others.
func (k *Keys[K]) fetch(f *fetched[K], name string) {
	var key K
	var until time.Time
	err := errors.New("Keys.Fetch panicked")
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.running--
		f.err = err
		if err == nil {
			f.key, f.has, f.until = key, true, until
		}
		close(f.ended)
		f.ended = nil
	}()
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	key, until, err = k.Fetch(ctx, name)
	if until.IsZero() {
		until = time.Now().Add(time.Hour)
	}
}

// usable reports whether the key of f may be used at a time.
func (f *fetched[K]) usable(now time.Time, stale time.Duration) bool {
	return f.has && now.Before(f.until.Add(stale))
}

// outcome returns the key of f after a fetch. If the fetch failed, it is the old one, except for
// a caller that needs another.
func (f *fetched[K]) outcome(stale time.Duration, renew bool) (key K, fresh bool, err error) {
	if f.err == nil || !renew && !hasForged(f.err) && f.usable(time.Now(), stale) {
		return f.key, f.err == nil, nil
	}
	return key, false, f.failure()
}

// failure returns the error of a name without a usable key.
func (f *fetched[K]) failure() error {
	switch {
	case f.err == nil: // the key has expired since
		return errTooMany
	case hasForged(f.err):
		return forged()
	}
	return &refusal{reason: "cannot fetch a key: " + f.err.Error(), busy: true}
}

var errTooMany error = &refusal{reason: "cannot fetch a key now: too many were fetched", busy: true}

func hasForged(err error) bool {
	var f interface{ Forged() bool }
	return errors.As(err, &f) && f.Forged()
}

// allow reports whether another fetch may begin, and counts it. Unverified requests cause
// fetches.
func (k *Keys[K]) allow(now time.Time, isNew bool) bool {
	if k.running >= maxFetches {
		return false
	}
	if !isNew {
		return true
	}
	if now.Sub(k.minute) >= time.Minute {
		k.minute, k.newest = now, 0
	}
	if k.newest >= maxNewNames {
		return false
	}
	k.newest++
	return true
}

// add adds a name. If there is no room, it evicts the name that was fetched first, preferring
// those without a key, so that made-up names do not evict real ones.
func (k *Keys[K]) add(name string) *fetched[K] {
	if k.known == nil {
		k.known = map[string]*fetched[K]{}
	}
	if len(k.known) >= maxKeys {
		victim := ""
		for other, f := range k.known {
			v := k.known[victim]
			if f.ended == nil && (v == nil || !f.has && v.has || f.has == v.has && f.began.Before(v.began)) {
				victim = other
			}
		}
		delete(k.known, victim)
	}
	f := &fetched[K]{}
	k.known[name] = f
	return f
}

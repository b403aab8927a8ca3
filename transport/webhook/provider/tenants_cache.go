package provider

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	maxTenants    = 1 << 14 // with secrets, in one cache
	maxStrangers  = 1 << 12 // names without secrets, in one cache
	maxLookups    = 32      // at once
	maxNewLookups = 16      // of these, for names without cached secrets

	tenantTTL     = 5 * time.Minute
	renewAfter    = 10 * time.Second // between lookups that wrong signatures or unknown names cause
	failureTTL    = time.Second
	lookupTimeout = 5 * time.Second
)

// A tenantCache holds the secrets of tenants, and names that have none. Made-up names do not evict
// tenants.
type tenantCache struct {
	mu        sync.Mutex // not held during a lookup
	all       map[string]*tenant
	tenants   list.List // of *tenant with secrets, the most recently used first
	strangers list.List // of *tenant without

	slots, newSlots chan struct{} // of lookups
}

// tenant is a name with the outcome of its last lookup. tenantCache.mu guards it.
type tenant struct {
	name   string
	set    *secretSet    // nil: there are no secrets
	known  bool          // a lookup has succeeded
	at     time.Time     // when it was
	failed time.Time     // when the last lookup failed
	err    error         // of the last lookup
	ended  chan struct{} // closed when the current lookup ends; nil: there is none
	stale  bool          // forget was called during it
	place  *list.Element // in tenants or strangers; nil until the first lookup ends
	home   *list.List    // of place
}

// find returns the secrets of a tenant, or nil if it is unknown. If renew is true, the cached ones
// do not match.
func (c *tenantCache) find(r *Request, p *Provider, name string, renew bool) (*secretSet, error) {
	ttl := cmp.Or(p.Tenants.TTL, tenantTTL)
	if renew {
		ttl = min(ttl, renewAfter)
	}
	for again := false; ; again = true {
		t, running := c.enter(name, ttl, again)
		switch {
		case running != nil:
			if err := r.waitFor(running); err != nil {
				return nil, err
			}
		case t.ended == nil:
			return t.set, t.err
		default:
			c.lookup(r, p, t)
		}
	}
}

// waitFor waits until done is closed, or r.Context or r.Deadline ends.
func (r *Request) waitFor(done <-chan struct{}) error {
	ctx, cancel := r.context()
	defer cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return busyLookup()
	}
}

func busyLookup() error {
	return &refusal{reason: "the request ended before the secrets of its tenant were found", busy: true}
}

// enter returns the tenant of a name, or the lookup to wait for. If ended is set in the copy that it
// returns, the caller must call lookup with it. again means that the caller has waited for a
// lookup, whose outcome counts.
func (c *tenantCache) enter(name string, ttl time.Duration, again bool) (t tenant, running <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[string]*tenant{}
		c.slots, c.newSlots = make(chan struct{}, maxLookups), make(chan struct{}, maxNewLookups)
	}
	now, found := time.Now(), c.all[name]
	if found == nil {
		found = &tenant{name: name}
		c.all[name] = found
	}
	if found.set == nil {
		ttl = min(ttl, renewAfter)
	}
	switch {
	case found.known && now.Sub(found.at) < ttl:
		c.touch(found)
		return tenant{set: found.set}, nil
	case found.ended != nil:
		return tenant{}, found.ended
	case found.err != nil && (again || now.Sub(found.failed) < failureTTL):
		return tenant{err: found.err}, nil
	case again:
		return tenant{set: found.set}, nil
	}
	found.ended = make(chan struct{})
	return *found, nil
}

// touch makes t the most recently used of its list.
func (c *tenantCache) touch(t *tenant) {
	if t.place != nil {
		t.home.MoveToFront(t.place)
	}
}

// lookup calls Tenants.Secrets. It does not end with the request: a sender that hangs up must not
// spoil the lookup for the others.
func (c *tenantCache) lookup(r *Request, p *Provider, t tenant) {
	var secrets []string
	err := errors.New("Tenants.Secrets panicked")
	defer func() { c.done(t.name, secrets, err) }()
	slots := []chan struct{}{c.slots}
	if t.set == nil {
		slots = []chan struct{}{c.newSlots, c.slots}
	}
	ctx, cancel := r.context()
	defer cancel()
	for _, slot := range slots {
		select {
		case slot <- struct{}{}:
			defer func() { <-slot }()
		case <-ctx.Done():
			err = busyLookup()
			return
		}
	}
	end := time.Now().Add(lookupTimeout)
	if !r.Deadline.IsZero() && r.Deadline.Before(end) {
		end = r.Deadline
	}
	limited, cancelLookup := context.WithDeadline(context.WithoutCancel(ctx), end)
	defer cancelLookup()
	found, failure := p.Tenants.Secrets(limited, t.name)
	if failure != nil {
		failure = &refusal{reason: "looking up the secrets of the tenant failed: " + failure.Error(), busy: true}
	}
	secrets, err = slices.Clone(found), failure
}

// done records the outcome of a lookup.
func (c *tenantCache) done(name string, secrets []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, now := c.all[name], time.Now()
	close(t.ended)
	t.ended, t.err = nil, err
	switch {
	case err != nil:
		t.failed = now
	case len(secrets) == 0:
		t.set, t.known, t.at = nil, true, now
	case t.set == nil || !slices.Equal(t.set.texts, secrets):
		t.set = &secretSet{texts: secrets}
		fallthrough
	default:
		t.known, t.at = true, now
	}
	if t.stale {
		t.known, t.stale = false, false
	}
	c.put(t)
}

// put moves t to its list, and evicts what was not used for longest.
func (c *tenantCache) put(t *tenant) {
	home, most := &c.strangers, maxStrangers
	if t.set != nil {
		home, most = &c.tenants, maxTenants
	}
	if t.home != home {
		if t.place != nil {
			t.home.Remove(t.place)
		}
		t.home, t.place = home, home.PushFront(t)
	}
	for e := home.Back(); home.Len() > most && e != nil; {
		old := e.Value.(*tenant)
		e = e.Prev()
		if old.ended == nil {
			home.Remove(old.place)
			delete(c.all, old.name)
		}
	}
}

// decoy returns the secrets of any tenant, or nil if none is cached.
func (c *tenantCache) decoy() *secretSet {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.tenants.Front(); e != nil {
		return e.Value.(*tenant).set
	}
	return nil
}

// forget makes the next find look name up.
func (c *tenantCache) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.all[name]; t != nil {
		t.known, t.err, t.stale = false, nil, t.ended != nil
	}
}

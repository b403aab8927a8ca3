package provider_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// keyServer counts what is fetched. A key is its name and the number of the fetch.
type keyServer struct {
	mu      sync.Mutex
	fetched []string
	atOnce  int
	most    int
	err     error
	takes   time.Duration
	lasts   time.Duration // 0: the default
}

func (s *keyServer) fetch(ctx context.Context, name string) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetched = append(s.fetched, name)
	n := len(s.fetched)
	s.atOnce++
	s.most = max(s.most, s.atOnce)
	s.mu.Unlock()
	var err error
	select {
	case <-time.After(s.takes + 1):
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.mu.Lock()
	s.atOnce--
	if s.err != nil {
		err = s.err
	}
	var until time.Time
	if s.lasts != 0 {
		until = time.Now().Add(s.lasts)
	}
	return name + strconv.Itoa(n), until, err
}

func (s *keyServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *keyServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fetched)
}

type noSuchKey struct{}

func (noSuchKey) Error() string { return "no such key" }
func (noSuchKey) Forged() bool  { return true }

func testKeys(t *testing.T, s *keyServer, stale time.Duration, play func(k *provider.Keys[string], want func(what, got string, err error, key string))) {
	synctest.Test(t, func(t *testing.T) {
		k := &provider.Keys[string]{Fetch: s.fetch, Stale: stale}
		play(k, func(what, got string, err error, key string) {
			t.Helper()
			outcome := got
			switch {
			case forged(err):
				outcome = "forged"
			case busy(err):
				outcome = "busy"
			case err != nil:
				outcome = err.Error()
			}
			if outcome != key {
				t.Errorf("%s: got %s (%v), want %s", what, outcome, err, key)
			}
		})
	})
}

// A key is fetched once while it is valid, and renewed at most once in 30 s.
func TestKeysAreCached(t *testing.T) {
	s := &keyServer{}
	testKeys(t, s, 0, func(k *provider.Keys[string], want func(string, string, error, string)) {
		r := &provider.Request{}
		key := func(what, expect string) { got, err := k.Key(r, "a"); want(what, got, err, expect) }
		renewed := func(what, expect string, fresh bool) {
			got, is, err := k.Renewed(r, "a")
			want(what, got, err, expect)
			if is != fresh {
				t.Errorf("%s: got fresh %t, want %t", what, is, fresh)
			}
		}
		key("first", "a1")
		key("again", "a1")
		renewed("at once", "a1", false)
		time.Sleep(29 * time.Second)
		renewed("after 29 s", "a1", false)
		time.Sleep(time.Second)
		renewed("after 30 s", "a2", true)
		key("the new one", "a2")
		time.Sleep(time.Hour - time.Second)
		key("within the hour", "a2")
		time.Sleep(2 * time.Second)
		key("after the hour", "a3")
	})
}

// A failure is remembered for 30 s, and is never taken for a forgery.
func TestKeysRememberFailures(t *testing.T) {
	s := &keyServer{err: errors.New("down")}
	testKeys(t, s, 0, func(k *provider.Keys[string], want func(string, string, error, string)) {
		r := &provider.Request{}
		for range 3 {
			got, err := k.Key(r, "a")
			want("down", got, err, "busy")
			if err == nil || !strings.Contains(err.Error(), "down") {
				t.Errorf("got error %v, want the reason", err)
			}
			got, _, err = k.Renewed(r, "a")
			want("down", got, err, "busy")
		}
		s.set(func() { s.err = noSuchKey{} })
		time.Sleep(30 * time.Second)
		for range 3 {
			got, err := k.Key(r, "a")
			want("no such key", got, err, "forged")
		}
		s.set(func() { s.err = nil })
		time.Sleep(30 * time.Second)
		got, err := k.Key(r, "a")
		want("up", got, err, "a3")
	})
	if n := s.count(); n != 3 {
		t.Errorf("got %d fetches, want 3", n)
	}
}

// An old key is used for as long as Stale while it cannot be renewed, but not if a newer one is
// needed, and not once the server has disowned it.
func TestStaleKeys(t *testing.T) {
	s := &keyServer{lasts: time.Minute}
	testKeys(t, s, time.Hour, func(k *provider.Keys[string], want func(string, string, error, string)) {
		r := &provider.Request{}
		key := func(what, expect string) { got, err := k.Key(r, "a"); want(what, got, err, expect) }
		key("first", "a1")
		s.set(func() { s.err = errors.New("down") })
		time.Sleep(2 * time.Minute)
		key("stale", "a1")
		got, _, err := k.Renewed(r, "a")
		want("stale, but a newer one is needed", got, err, "busy")
		time.Sleep(time.Minute)
		got, _, err = k.Renewed(r, "a")
		want("a newer one again", got, err, "busy")
		time.Sleep(time.Hour)
		key("too stale", "busy")
		s.set(func() { s.err = nil })
		time.Sleep(time.Minute)
		key("up again", "a5")
		s.set(func() { s.err = noSuchKey{} })
		time.Sleep(2 * time.Minute)
		key("disowned", "forged")
	})
	fresh := &keyServer{lasts: time.Minute, err: nil}
	testKeys(t, fresh, 0, func(k *provider.Keys[string], want func(string, string, error, string)) {
		r := &provider.Request{}
		got, err := k.Key(r, "a")
		want("first", got, err, "a1")
		fresh.set(func() { fresh.err = errors.New("down") })
		time.Sleep(time.Minute + 1)
		got, err = k.Key(r, "a")
		want("expired", got, err, "busy")
	})
}

// Concurrent requests share a fetch. It outlives the request that began it, and each waits only
// as long as its own sender.
func TestKeysShareFetches(t *testing.T) {
	s := &keyServer{takes: 3 * time.Second}
	testKeys(t, s, 0, func(k *provider.Keys[string], want func(string, string, error, string)) {
		var wg sync.WaitGroup
		gone, leave := context.WithCancel(context.Background())
		wg.Go(func() {
			got, err := k.Key(&provider.Request{Context: gone}, "a")
			want("the first, whose sender has left", got, err, "a1")
		})
		synctest.Wait()
		leave()
		start := time.Now()
		for range 10 {
			wg.Go(func() {
				got, fresh, err := k.Renewed(&provider.Request{}, "a")
				want("another", got, err, "a1")
				if !fresh {
					t.Error("got a key that is not fresh, want a fresh one")
				}
			})
		}
		wg.Go(func() {
			got, err := k.Key(&provider.Request{Deadline: start.Add(time.Second)}, "a")
			want("one with a deadline", got, err, "busy")
			if d := time.Since(start); d != time.Second {
				t.Errorf("got an answer after %v, want 1s", d)
			}
		})
		wg.Wait()
	})
	if n := s.count(); n != 1 {
		t.Errorf("got %d fetches, want 1", n)
	}
}

// While a stale key is renewed, other requests use it at once.
func TestStaleKeysAreUsedMeanwhile(t *testing.T) {
	s := &keyServer{lasts: time.Minute}
	testKeys(t, s, time.Hour, func(k *provider.Keys[string], want func(string, string, error, string)) {
		r := &provider.Request{}
		got, err := k.Key(r, "a")
		want("first", got, err, "a1")
		time.Sleep(2 * time.Minute)
		s.set(func() { s.takes = 3 * time.Second })
		var wg sync.WaitGroup
		wg.Go(func() { got, err := k.Key(r, "a"); want("the one that renews", got, err, "a2") })
		synctest.Wait()
		start := time.Now()
		got, err = k.Key(r, "a")
		want("another", got, err, "a1")
		if d := time.Since(start); d != 0 {
			t.Errorf("waited for %v, want 0s", d)
		}
		wg.Wait()
	})
}

// Forgers choose names. They cause at most four fetches at once and 20 in a minute, do not evict
// a key, and do not keep a cached one from being used or renewed.
func TestForgersCauseFewFetches(t *testing.T) {
	s := &keyServer{}
	testKeys(t, s, time.Hour, func(k *provider.Keys[string], want func(string, string, error, string)) {
		r := &provider.Request{}
		got, err := k.Key(r, "real")
		want("the real one", got, err, "real1")
		s.set(func() { s.err, s.takes = noSuchKey{}, 100*time.Millisecond })
		var wg sync.WaitGroup
		for minute := range 10 {
			for i := range 100 {
				wg.Go(func() { k.Key(r, "made up "+strconv.Itoa(100*minute+i)) })
			}
			wg.Wait()
			for i := range 100 {
				k.Key(r, "made up, one by one "+strconv.Itoa(100*minute+i))
			}
			before := s.count()
			got, err = k.Key(r, "real")
			want("the real one", got, err, "real1")
			if s.count() != before {
				t.Error("the real key was fetched again, want it cached")
			}
			time.Sleep(time.Minute)
			if n := s.count() - 1; n > 20*(minute+1) {
				t.Fatalf("got %d fetches in %d minutes, want at most 20 in each", n, minute+1)
			}
		}
		for i := range 20 { // no name is left for this minute
			k.Key(r, "new "+strconv.Itoa(i))
		}
		s.set(func() { s.err = nil })
		got, _, err = k.Renewed(r, "real")
		want("the real one, renewed", got, err, "real"+strconv.Itoa(s.count()))
	})
	if s.most != 4 {
		t.Errorf("got %d fetches at once, want 4", s.most)
	}
}

// A stuck fetch ends after 5 s.
func TestKeysLimitAFetch(t *testing.T) {
	s := &keyServer{takes: time.Hour}
	testKeys(t, s, 0, func(k *provider.Keys[string], want func(string, string, error, string)) {
		start := time.Now()
		got, err := k.Key(&provider.Request{}, "a")
		want("stuck", got, err, "busy")
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("waited for %v, want 5s", d)
		}
	})
}

// A panic in Fetch does not leave others waiting.
func TestKeysSurviveAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &provider.Keys[string]{Fetch: func(context.Context, string) (string, time.Time, error) {
			time.Sleep(time.Second)
			panic("a bug")
		}}
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() {
				if recover() == nil {
					t.Error("got no panic, want one")
				}
			}()
			k.Key(&provider.Request{}, "a")
		})
		synctest.Wait()
		if _, err := k.Key(&provider.Request{}, "a"); !busy(err) {
			t.Errorf("got error %v, want Busy", err)
		}
		wg.Wait()
	})
}

package mock

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/steadfeed/steadfeed/mock/internal/bridge"
)

// A Store keeps records in memory under compare-and-swap. It is a client.Store that fails on
// command. All its methods may be called from any goroutine; none of them holds a lock while it
// waits.
//
// Each call meets at most one fault: the first one set that is not used up. The zero Store is
// empty and ready for use.
type Store struct {
	mu     sync.Mutex
	cells  map[string]*cell
	last   uint64 // version issued last; versions are never reused
	onLoad []*Fault
	onSave []*Fault

	hooks bridge.Hooks
}

// A cell holds everything ever stored under one key.
type cell struct {
	past []record // the last one is current
}

// A record without a version is absent.
type record struct {
	data    []byte
	version string
}

// OnLoad adds a fault for later Loads.
func (s *Store) OnLoad(f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onLoad = append(s.onLoad, f)
}

// OnSave adds a fault for later Saves.
func (s *Store) OnSave(f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onSave = append(s.onSave, f)
}

// Load returns a copy of the record and its version, or nil and "" if there is none.
func (s *Store) Load(ctx context.Context, key string) (data []byte, version string, err error) {
	defer func() { s.log("load", version, err) }()
	fault := s.nextFault(&s.onLoad)
	if err := fault.apply(ctx); err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	age := 0
	if fault != nil && fault.Stale {
		age = 1
	}
	r := s.cell(key).before(age)
	return bytes.Clone(r.data), r.version, nil
}

// Save replaces the record if prev is its version ("" if there is none), and returns the new
// version. Otherwise errors.Is(err, client.ErrConflict) is true.
func (s *Store) Save(ctx context.Context, key string, data []byte, prev string) (version string, err error) {
	defer func() { s.log("save", version, err) }()
	fault := s.nextFault(&s.onSave)
	if fault != nil && fault.Applied {
		if _, err := s.swap(key, data, prev); err != nil {
			return "", err
		}
	}
	if err := fault.apply(ctx); err != nil {
		return "", err
	}
	return s.swap(key, data, prev)
}

func (s *Store) log(call, version string, err error) {
	switch {
	case s.hooks.Log == nil:
	case err != nil:
		s.hooks.Log("store: %s fails: %v", call, err)
	default:
		s.hooks.Log("store: %s, version %q", call, version)
	}
}

func (s *Store) swap(key string, data []byte, prev string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cell(key)
	if have := c.before(0).version; have != prev {
		return "", &conflictError{key: key, have: have, prev: prev}
	}
	return s.put(c, data), nil
}

// Put replaces the record regardless of its version, as another process might, and returns the
// new version. Nil data removes the record. Put meets no fault.
func (s *Store) Put(key string, data []byte) (version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cell(key)
	if data == nil {
		c.past = append(c.past, record{})
		return ""
	}
	return s.put(c, data)
}

func (s *Store) put(c *cell, data []byte) string {
	s.last++
	r := record{data: append([]byte{}, data...), version: strconv.FormatUint(s.last, 10)}
	c.past = append(c.past, r)
	return r.version
}

// History returns everything that was ever stored under key, oldest first and ending with the
// current record: by Put, and by Save, including saves that took effect but returned an error. A
// removed record is nil. History meets no fault.
func (s *Store) History(key string) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]byte
	for _, r := range s.cell(key).past {
		all = append(all, bytes.Clone(r.data))
	}
	return all
}

func (s *Store) cell(key string) *cell {
	c := s.cells[key]
	if c == nil {
		if s.cells == nil {
			s.cells = make(map[string]*cell)
		}
		c = new(cell)
		s.cells[key] = c
	}
	return c
}

// before returns the record as it was the given number of changes ago.
func (c *cell) before(changes int) record {
	if i := len(c.past) - 1 - changes; i >= 0 {
		return c.past[i]
	}
	return record{}
}

// nextFault returns the fault that a call meets, nil if there is none.
func (s *Store) nextFault(faults *[]*Fault) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(*faults) > 0 {
		if f := (*faults)[0]; f.hit() {
			return f
		}
		*faults = (*faults)[1:]
	}
	return nil
}

// A conflictError matches client.ErrConflict, without an import of client.
type conflictError struct{ key, have, prev string }

func (e *conflictError) Error() string {
	return fmt.Sprintf("mock: record %q has version %q, not %q", e.key, e.have, e.prev)
}

// Conflict returns true.
func (e *conflictError) Conflict() bool { return true }

// Is reports whether target is a conflict too.
func (e *conflictError) Is(target error) bool {
	c, ok := target.(interface{ Conflict() bool })
	return ok && c.Conflict()
}

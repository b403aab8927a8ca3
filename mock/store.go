package mock

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
)

// A Store keeps records in memory under compare-and-swap: it is a client.Store that
// fails on command. All its methods may be called from any goroutine; none of them
// holds a lock while it waits.
//
// Faults are met in the order in which they were set, one by each call: a call meets the
// first that is not used up.
type Store struct {
	mu     sync.Mutex
	cells  map[string]*cell
	last   uint64 // version that was given out last; none is ever given out twice
	saves  int
	onLoad []*Fault
	onSave []*Fault

	note func(format string, args ...any) // of a Trial, nil elsewhere
}

// A cell is all that was ever stored under one key.
type cell struct {
	past  []record // the latest is the current one
	saved [][]byte // by Save, not by Put
}

// A record without a version is absent.
type record struct {
	data    []byte
	version string
}

// NewStore returns an empty store.
func NewStore() *Store { return new(Store) }

// OnLoad sets a fault that coming Loads meet.
func (s *Store) OnLoad(f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onLoad = append(s.onLoad, f)
}

// OnSave sets a fault that coming Saves meet.
func (s *Store) OnSave(f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onSave = append(s.onSave, f)
}

// Load returns a copy of the record and its version; nil, "" if there is none.
func (s *Store) Load(ctx context.Context, key string) (data []byte, version string, err error) {
	defer func() { s.tell("load", version, err) }()
	fault := s.meet(&s.onLoad)
	if err := fault.befall(ctx); err != nil {
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

// Save replaces the record if prev is its version ("" when there is none), and returns
// the new version. If it is not, errors.Is(err, client.ErrConflict) holds.
func (s *Store) Save(ctx context.Context, key string, data []byte, prev string) (version string, err error) {
	defer func() { s.tell("save", version, err) }()
	s.mu.Lock()
	s.saves++
	s.mu.Unlock()
	fault := s.meet(&s.onSave)
	if fault != nil && fault.Applied {
		if _, err := s.swap(key, data, prev); err != nil {
			return "", err
		}
	}
	if err := fault.befall(ctx); err != nil {
		return "", err
	}
	return s.swap(key, data, prev)
}

func (s *Store) tell(call, version string, err error) {
	switch {
	case s.note == nil:
	case err != nil:
		s.note("store: %s fails: %v", call, err)
	default:
		s.note("store: %s, version %q", call, version)
	}
}

// used tells whether there was ever a record that says something.
func (s *Store) used() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cells {
		if slices.ContainsFunc(c.past, func(r record) bool { return len(r.data) > 0 }) {
			return true
		}
	}
	return false
}

// cutOff sets a fault that calls meet before all others.
func (s *Store) cutOff(f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onLoad = append([]*Fault{f}, s.onLoad...)
	s.onSave = append([]*Fault{f}, s.onSave...)
}

func (s *Store) swap(key string, data []byte, prev string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cell(key)
	if have := c.before(0).version; have != prev {
		return "", &conflictError{key: key, have: have, prev: prev}
	}
	c.saved = append(c.saved, bytes.Clone(data))
	return s.put(c, data), nil
}

// Put replaces the record whatever its version is, as another process might, and returns
// the new version. Nil data removes the record. It meets no fault.
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

// Record returns a copy of the record and its version; nil, "" if there is none. It
// meets no fault.
func (s *Store) Record(key string) (data []byte, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.cell(key).before(0)
	return bytes.Clone(r.data), r.version
}

// Saves returns how often Save was called, successfully or not.
func (s *Store) Saves() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves
}

// History returns what Saves have stored under key, oldest first, those included that
// took effect but reported a failure.
func (s *Store) History(key string) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]byte
	for _, data := range s.cell(key).saved {
		all = append(all, bytes.Clone(data))
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

// before returns the record as it was so many changes ago.
func (c *cell) before(changes int) record {
	if i := len(c.past) - 1 - changes; i >= 0 {
		return c.past[i]
	}
	return record{}
}

// meet returns the fault that a call meets, nil if there is none.
func (s *Store) meet(faults *[]*Fault) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(*faults) > 0 {
		if f := (*faults)[0]; f.meet() {
			return f
		}
		*faults = (*faults)[1:]
	}
	return nil
}

// conflictError is client.ErrConflict to errors.Is, without an import of client.
type conflictError struct{ key, have, prev string }

func (e *conflictError) Error() string {
	return fmt.Sprintf("mock: record %q has version %q, not %q", e.key, e.have, e.prev)
}

// Conflict returns true.
func (e *conflictError) Conflict() bool { return true }

// Is tells whether target is a conflict too.
func (e *conflictError) Is(target error) bool {
	c, ok := target.(interface{ Conflict() bool })
	return ok && c.Conflict()
}

package webhook

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// state is what outlives the Listeners of a Receiver.
type state struct {
	listener atomic.Pointer[listener] // the open one, or nil; written with mu
	bound    atomic.Bool              // Listen has listened on Addr
	used     atomic.Bool              // Receiver.Listener was used

	once     sync.Once
	patterns []pattern // in Receiver.Providers

	mu      sync.Mutex
	drained bool
	ledgers map[string]*ledger // by path
}

func (s *state) patternsOf(w *Receiver) []pattern {
	s.once.Do(func() { s.patterns = patternsOf(slices.Sorted(maps.Keys(w.Providers))) })
	return s.patterns
}

// start makes l the open listener and sets its routes. It returns false if another one is open.
func (s *state) start(l *listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener.Load() != nil {
		return false
	}
	if s.ledgers == nil {
		s.ledgers = make(map[string]*ledger)
	}
	l.routes = l.hook.routes(s.ledgers)
	if s.drained { // otherwise drain finds l
		l.drain()
	}
	s.listener.Store(l)
	return true
}

func (s *state) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener.Store(nil)
}

func (s *state) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained = true
	if l := s.listener.Load(); l != nil {
		l.drain()
	}
}

func (s *state) isDrained() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drained
}

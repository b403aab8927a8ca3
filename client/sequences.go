package client

import "maps"

// sequences are the last numbers of the keys of Options.SequenceOf. With a limit they are kept in
// two generations: once the newer one is full, the older one, whose keys have had no event since,
// is forgotten.
type sequences struct {
	limit        int // of keys; 0: none
	newer, older map[string]uint64
	forgot       bool // a key was forgotten
}

// last returns the last number of key, if it is known.
func (s *sequences) last(key string) (n uint64, known bool) {
	if n, known = s.newer[key]; !known {
		n, known = s.older[key]
	}
	return n, known
}

// set records the last number of key.
func (s *sequences) set(key string, n uint64) {
	if s.newer == nil {
		s.newer = make(map[string]uint64)
	}
	s.newer[key] = n
	if s.limit == 0 {
		return
	}
	if len(s.older) > 0 {
		delete(s.older, key)
	}
	if len(s.newer) > s.limit/2 {
		s.renew(key, n)
	}
}

// renew starts a generation with key, whose number n made the newer one too large.
func (s *sequences) renew(key string, n uint64) {
	delete(s.newer, key)
	s.forgot = s.forgot || len(s.older) > 0
	clear(s.older)
	s.newer, s.older = s.older, s.newer
	if s.newer == nil {
		s.newer = make(map[string]uint64)
	}
	s.newer[key] = n
}

// all returns a copy.
func (s *sequences) all() map[string]uint64 {
	all := make(map[string]uint64, len(s.newer)+len(s.older))
	maps.Copy(all, s.older)
	maps.Copy(all, s.newer)
	return all
}

// forget forgets key.
func (s *sequences) forget(key string) {
	delete(s.newer, key)
	delete(s.older, key)
}

// any reports whether a number is known.
func (s *sequences) any() bool { return len(s.newer)+len(s.older) > 0 }

// clone returns a copy that is independent of s.
func (s *sequences) clone() sequences {
	return sequences{limit: s.limit, newer: maps.Clone(s.newer), older: maps.Clone(s.older), forgot: s.forgot}
}

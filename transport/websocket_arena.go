package transport

import "slices"

// An arena is memory for messages that are handed over. Pieces carved from it are never reused.
type arena struct {
	free []byte
	size int // of the arena whose rest is free
}

const (
	firstArena = 128
	largeArena = 64 << 10
	usefulRoom = 512
	ownMemory  = 16 << 10 // messages of at least this size get their own memory
	firstPiece = 1 << 20  // maximum allocation for an announced length before its bytes arrive
)

// extend returns data, which is empty or the result of an earlier call, with room for n more
// bytes. What it needs no more is abandoned.
func (s *arena) extend(data []byte, n int) []byte {
	size := len(data) + n
	switch {
	case data != nil && size <= cap(data):
		return data
	case size >= ownMemory && data == nil:
		return make([]byte, 0, size)
	case size >= ownMemory:
		return slices.Grow(data, n)
	case len(s.free) < max(size, 1):
		s.size = min(max(2*s.size, firstArena), largeArena)
		s.free = make([]byte, max(s.size, size))
	}
	return append(s.free[:0], data...)
}

// calm makes the next arena a small one: messages are so rare that the rest of a large one would be
// held for long.
func (s *arena) calm() { s.size = min(s.size, firstArena) }

// take hands over data, the result of extend.
func (s *arena) take(data []byte) []byte {
	n := len(data)
	if n > 0 && len(s.free) > 0 && &data[0] == &s.free[0] {
		s.free = s.free[n:]
	}
	return data[:n:n]
}

package transport

// An arena is memory for messages that are handed over. Pieces carved from it are never reused.
type arena struct {
	free []byte
	size int // of the arena whose rest is free
}

const (
	firstArena = 512
	largeArena = 64 << 10
	usefulRoom = 512
	ownMemory  = 16 << 10 // messages of at least this size get their own memory
	firstPiece = 1 << 20  // maximum allocation for an announced length before its bytes arrive
)

// room returns memory for a message of size bytes, or of unknown size if size is zero.
func (s *arena) room(size int) []byte {
	if size >= ownMemory {
		return make([]byte, size)
	}
	if len(s.free) < max(size, usefulRoom) {
		s.renew(size)
	}
	if size > 0 {
		return s.free[:size:size]
	}
	return s.free
}

func (s *arena) renew(size int) {
	s.size = min(max(2*s.size, firstArena), largeArena)
	s.free = make([]byte, max(s.size, size))
}

// grow returns a larger buffer with the contents of buf, which is full. The rest of the arena
// is abandoned.
func (s *arena) grow(buf []byte) []byte {
	var larger []byte
	if s.holds(buf) && 2*len(buf) <= largeArena { // a larger arena would let a small message retain a large one
		s.renew(2 * len(buf))
		larger = s.free
	} else {
		larger = make([]byte, 2*len(buf))
	}
	copy(larger, buf)
	return larger
}

// take hands over the first n bytes of buf.
func (s *arena) take(buf []byte, n int) []byte {
	if n > 0 && s.holds(buf) {
		s.free = s.free[n:]
	}
	return buf[:n:n]
}

func (s *arena) holds(buf []byte) bool { return len(s.free) > 0 && &buf[0] == &s.free[0] }

package transport

// An arena is memory for messages that are given away: pieces are carved from it and never
// used again.
type arena struct {
	free []byte
	size int // of the arena that free is the rest of
}

const (
	firstArena = 512
	largeArena = 64 << 10
	usefulRoom = 512
	ownMemory  = 16 << 10 // a message from this size on has memory of its own
	firstPiece = 1 << 20  // what is believed of a length before the bytes are there
)

// room returns memory for a message of size bytes, or of an unknown size for zero.
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

// grow returns more room than buf, which is full, with what is in it. What is left of the
// arena behind it is given up.
func (s *arena) grow(buf []byte) []byte {
	var larger []byte
	if s.holds(buf) && 2*len(buf) <= largeArena { // or a small message would keep a large one's memory
		s.renew(2 * len(buf))
		larger = s.free
	} else {
		larger = make([]byte, 2*len(buf))
	}
	copy(larger, buf)
	return larger
}

// take gives away the first n bytes of buf.
func (s *arena) take(buf []byte, n int) []byte {
	if n > 0 && s.holds(buf) {
		s.free = s.free[n:]
	}
	return buf[:n:n]
}

func (s *arena) holds(buf []byte) bool { return len(s.free) > 0 && &buf[0] == &s.free[0] }

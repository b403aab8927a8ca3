package client

// recent remembers the last ids in a ring.
type recent struct {
	ring []string
	next int
	set  map[string]struct{}
}

func newRecent(n int) *recent {
	if n == 0 {
		return nil
	}
	return &recent{ring: make([]string, n), set: make(map[string]struct{}, n)}
}

// add reports whether id is new. A nil *recent finds every id new.
func (r *recent) add(id string) bool {
	if r == nil {
		return true
	}
	if _, seen := r.set[id]; seen {
		return false
	}
	if old := r.ring[r.next]; old != "" {
		delete(r.set, old)
	}
	r.ring[r.next] = id
	r.set[id] = struct{}{}
	r.next = (r.next + 1) % len(r.ring)
	return true
}

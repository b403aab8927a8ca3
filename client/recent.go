package client

// recent remembers the last ids in a ring, which takes no memory until there are any.
type recent struct {
	ring  []string
	limit int
	next  int // index of the id to forget next, once the ring is full
	set   map[string]struct{}
}

func newRecent(n int) *recent {
	if n == 0 {
		return nil
	}
	return &recent{limit: n, set: make(map[string]struct{})}
}

// take reports whether id is known, and forgets it. A nil *recent knows none.
func (r *recent) take(id string) bool {
	if r == nil {
		return false
	}
	_, known := r.set[id]
	delete(r.set, id)
	return known
}

// add remembers id and reports whether it is new. To a nil *recent every id is new.
func (r *recent) add(id string) bool {
	if r == nil {
		return true
	}
	if _, seen := r.set[id]; seen {
		return false
	}
	r.set[id] = struct{}{}
	if len(r.ring) < r.limit {
		r.ring = append(r.ring, id)
		return true
	}
	delete(r.set, r.ring[r.next])
	r.ring[r.next] = id
	r.next = (r.next + 1) % r.limit
	return true
}

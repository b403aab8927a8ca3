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

// has reports whether id is remembered. A nil *recent remembers none.
func (r *recent) has(id string) bool {
	if r == nil {
		return false
	}
	_, known := r.set[id]
	return known
}

// forget forgets id.
func (r *recent) forget(id string) {
	if r != nil {
		delete(r.set, id)
	}
}

// add remembers id. A nil *recent ignores it.
func (r *recent) add(id string) {
	if r == nil || r.has(id) {
		return
	}
	r.set[id] = struct{}{}
	if len(r.ring) < r.limit {
		r.ring = append(r.ring, id)
		return
	}
	delete(r.set, r.ring[r.next])
	r.ring[r.next] = id
	r.next = (r.next + 1) % r.limit
}

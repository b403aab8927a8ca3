package provider

import "runtime"

// slots limits concurrent public-key checks to the number of processors: more would only
// compete for them.
type slots chan struct{}

func newSlots() slots { return make(slots, runtime.GOMAXPROCS(0)) }

// take waits for a slot until r.Context or r.Deadline ends. leave releases it.
func (s slots) take(r *Request) error {
	select {
	case s <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := r.context()
	defer cancel()
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return busy()
	}
}

func (s slots) leave() { <-s }

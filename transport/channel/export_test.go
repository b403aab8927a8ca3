package channel

// Retained returns how many requests and departures the connection remembers.
func (x *Mux) Retained() (requests, departures int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.link.requests), len(x.link.order)
}

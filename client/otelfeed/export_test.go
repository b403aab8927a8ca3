package otelfeed

// Observed returns the number of subscriptions that are observed.
func (in *Instrumentation) Observed() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.live)
}

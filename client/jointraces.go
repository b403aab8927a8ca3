package client

// JoinTraces returns a Trace that calls the functions of each of traces, in order. A nil Trace has
// none. It returns nil if all are nil. The traces must not be changed while the result is in use.
func JoinTraces(traces ...*Trace) *Trace {
	var all *Trace
	for _, t := range traces {
		switch {
		case t == nil:
		case all == nil:
			all = t
		default:
			all = all.join(t)
		}
	}
	return all
}

func (t *Trace) join(u *Trace) *Trace {
	return &Trace{
		StateChanged: both(t.StateChanged, u.StateChanged),
		Connecting:   both(t.Connecting, u.Connecting),
		Connected:    both(t.Connected, u.Connected),
		Disconnected: both(t.Disconnected, u.Disconnected),
		Signal:       both(t.Signal, u.Signal),
		Gap:          both(t.Gap, u.Gap),
		Dropped:      both(t.Dropped, u.Dropped),
		Backfilling:  both(t.Backfilling, u.Backfilling),
		Backfilled:   both(t.Backfilled, u.Backfilled),
		CaughtUp:     both0(t.CaughtUp, u.CaughtUp),
		Nacked:       both2(t.Nacked, u.Nacked),
		DeadLettered: both3(t.DeadLettered, u.DeadLettered),
		Suspected:    both2(t.Suspected, u.Suspected),
		Stalled:      both(t.Stalled, u.Stalled),
		Saved:        both(t.Saved, u.Saved),
		Ended:        both(t.Ended, u.Ended),
	}
}

// both returns a function that calls f and g, or one of them if the other one is nil.
func both[A any](f, g func(A)) func(A) {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func(a A) { f(a); g(a) }
}

func both0(f, g func()) func() {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func() { f(); g() }
}

func both2[A, B any](f, g func(A, B)) func(A, B) {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func(a A, b B) { f(a, b); g(a, b) }
}

func both3[A, B, C any](f, g func(A, B, C)) func(A, B, C) {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func(a A, b B, c C) { f(a, b, c); g(a, b, c) }
}

func either[F any](f, g F, second bool) F {
	if second {
		return g
	}
	return f
}

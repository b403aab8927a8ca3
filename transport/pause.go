package transport

import "time"

// A process that was stopped (SIGSTOP, a frozen container), or a machine that was asleep,
// wakes to timers that are overdue and to bytes that came meanwhile and are not read yet.
// So a timer that judges a peer does not judge when it is late, but looks again after
// secondLook.
const (
	overdue    = 100 * time.Millisecond // more than a busy machine makes a timer wait
	secondLook = time.Second            // enough for a reader to take what lies there
)

// overslept reports whether a timer that goes off late was held up by a pause.
func overslept(late time.Duration) bool { return late >= overdue }

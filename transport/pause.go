package transport

import "time"

// A process that was stopped (SIGSTOP, a frozen container), or a machine that was asleep, wakes
// up with overdue timers and unread bytes. So a timer that fires late does not give up the
// peer, but checks again after secondLook.
const (
	overdue    = 100 * time.Millisecond // longer than a busy machine delays a timer
	secondLook = time.Second            // long enough to read what has arrived
)

// overslept reports whether a timer that fires late was delayed by a pause.
func overslept(late time.Duration) bool { return late >= overdue }

package webhook

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport"
)

// An event that is settled before the request has prepared to wait makes it look again, because there
// may be space for the rest of the batch.
func TestWakeBeforeTheWaitIsNotLost(t *testing.T) {
	x := new(exchange)
	d := &delivery{
		listener: &listener{hook: new(Receiver)}, ledger: newLedger(-1, 0), waiting: []*exchange{x},
		messages: make([]transport.Message, 2), fates: make([]fate, 2), accepted: 1,
	}
	d.offer() // the request has nothing to offer again
	d.settle(0, nil)
	if over, err := d.outcome(x); over || err != nil {
		t.Fatalf("outcome: got %t, %v, want false, nil", over, err)
	}
	if got := len(x.woken); got != 1 {
		t.Fatalf("got %d wake-ups, want 1", got)
	}
	d.outcome(x)
	<-x.woken
	d.outcome(x)
	if got := len(x.woken); got != 0 {
		t.Errorf("got %d wake-ups after the first, want 0", got)
	}
}

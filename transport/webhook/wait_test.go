package webhook

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// What becomes of a delivery may be known at the very moment at which its request is woken to
// look after its sender.
func TestIsToldBesideALook(t *testing.T) {
	for _, ack := range []AckMode{AckAfterHandling, AckOnEnqueue} {
		for _, fate := range []error{nil, errors.New("refused")} {
			synctest.Test(t, func(t *testing.T) {
				r, _ := http.NewRequest(http.MethodPost, "/", nil)
				x := &exchange{hook: &Receiver{Ack: ack}, r: r, woken: make(chan verdict, 1)}
				var d delivery
				x.hook.mu.Lock()
				d.await(x)
				x.wake(verdict{})
				d.tell(fate)
				x.hook.mu.Unlock()
				x.start(time.Now().Add(time.Hour))
				defer x.timer.Stop()
				start := time.Now()
				if err := x.wait(); err != fate || time.Since(start) > time.Second {
					t.Errorf("mode %v: %v after %v, want %v at once", ack, err, time.Since(start), fate)
				}
			})
		}
	}
}

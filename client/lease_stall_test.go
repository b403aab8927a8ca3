package client

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
)

// After a process was stopped, its consumers may run before its timers. The test stops the timer.
func TestNothingIsHandedOutAfterTheLease(t *testing.T) {
	for _, loops := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := new(mock.Store)
			sub, err := Subscribe(t.Context(), mock.NewFeed(mock.Event("1", "a"), mock.Event("2", "b"), mock.Pause(time.Hour)),
				&Options{Name: "n", Store: store, Lease: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			synctest.Wait()
			store.OnSave(&mock.Fault{Count: -1})
			store.OnLoad(&mock.Fault{Count: -1})
			sub.checkpoint.tenure.timer.Stop()
			time.Sleep(time.Minute)
			if sub.ctx.Err() != nil {
				t.Fatal("the subscription has ended without its timer")
			}
			var handled atomic.Int32
			if loops {
				if _, err = sub.Next(t.Context()); err == nil {
					handled.Add(1)
				}
			} else {
				err = sub.Process(t.Context(), func(context.Context, Event) error { handled.Add(1); return nil }, nil)
			}
			if !errors.Is(err, ErrFenced) || handled.Load() > 0 {
				t.Errorf("loops %t: got %d events and %v, want none and ErrFenced", loops, handled.Load(), err)
			}
			close(sub.checkpoint.tenure.fired) // by the timer
		})
	}
}

// A batch that was being filled when the process was stopped is not handed out after the lease.
func TestNoBatchIsHandedOutAfterTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		sub, err := Subscribe(t.Context(), mock.NewFeed(mock.Event("1", "a"), mock.Event("2", "b"), mock.Pause(time.Hour)),
			&Options{Name: "n", Store: store, Lease: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		synctest.Wait()
		store.OnSave(&mock.Fault{Count: -1})
		store.OnLoad(&mock.Fault{Count: -1})
		sub.checkpoint.tenure.timer.Stop()
		for batch, err := range sub.Batches(3, time.Minute) {
			if len(batch) > 0 || !errors.Is(err, ErrFenced) {
				t.Errorf("got %d events and %v, want none and ErrFenced", len(batch), err)
			}
			break
		}
		close(sub.checkpoint.tenure.fired) // by the timer
	})
}

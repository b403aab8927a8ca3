package client

import (
	"context"
	"sync"
)

// A fullWatch waits for space on behalf of a Receiver, which does not wait itself: on a goroutine
// that lasts while the buffer is full.
type fullWatch struct {
	mu      sync.Mutex
	running bool
	again   bool // start was called while running
	stopped bool
	cancel  context.CancelFunc // ends the wait that is running
	joined  sync.WaitGroup
}

// start calls wait on a goroutine, or once more after the call that is running. After stop it does
// nothing.
func (f *fullWatch) start(ctx context.Context, wait func(context.Context)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running || f.stopped {
		f.again = true
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	f.running, f.cancel = true, cancel
	f.joined.Go(func() {
		defer cancel()
		for {
			wait(ctx)
			if f.isDone() {
				return
			}
		}
	})
}

func (f *fullWatch) isDone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.again && !f.stopped {
		f.again = false
		return false
	}
	f.running = false
	return true
}

// stop ends the wait and joins its goroutine.
func (f *fullWatch) stop() {
	f.mu.Lock()
	f.stopped = true
	if f.cancel != nil {
		f.cancel()
	}
	f.mu.Unlock()
	f.joined.Wait()
}

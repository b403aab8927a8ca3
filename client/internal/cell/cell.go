// Package cell plays concurrent calls against one record of a Store, and checks whether their history
// is that of a compare-and-swap cell.
package cell

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A Store is a client.Store.
type Store interface {
	Load(ctx context.Context, key string) (data []byte, version string, err error)
	Save(ctx context.Context, key string, data []byte, prev string) (version string, err error)
}

// An Outcome is what a call has reported.
type Outcome int

const (
	Done     Outcome = iota // the call succeeded
	Conflict                // a Save reported a conflict: it must not have an effect
	Unknown                 // a Save failed: it may have an effect, also later
)

// An Op is one call. Data is what a Save was given or a Load returned.
type Op struct {
	Client     int
	Start, End int64 // times of a clock that counts the starts and ends of all calls
	IsSave     bool
	Data       string
	Prev       string // of a Save
	Version    string // that a Load or a successful Save returned
	Outcome    Outcome
}

func (o Op) String() string {
	name, result := fmt.Sprintf("Load by client %d", o.Client), fmt.Sprintf("version %q", o.Version)
	if o.IsSave {
		name = fmt.Sprintf("Save of %q over version %q by client %d", o.Data, o.Prev, o.Client)
	}
	switch o.Outcome {
	case Conflict:
		result = "a conflict"
	case Unknown:
		result = "an error"
	}
	return name + ", which returned " + result
}

// A Game is a number of clients that load and save one record at the same time.
type Game struct {
	Stores  []Store // one for each client
	Key     string  // has no record before the game
	Calls   int     // by each client
	Cancels bool    // some calls are canceled while they run

	clock   atomic.Int64
	mu      sync.Mutex
	history []Op
}

// CancelTimeout is the maximum time that a call may take after its context was canceled.
const CancelTimeout = 10 * time.Second

// Play runs the game and returns the history. Failed Loads are left out. The error reports a call that
// did not return after its context was canceled.
func (g *Game) Play(ctx context.Context) ([]Op, error) {
	errs := make([]error, len(g.Stores))
	var group sync.WaitGroup
	for i := range g.Stores {
		group.Go(func() { errs[i] = g.play(ctx, i) })
	}
	group.Wait()
	return g.history, errors.Join(errs...)
}

// play makes the calls of one client. Most Saves follow from the version that it has seen last; some
// repeat an older one.
func (g *Game) play(ctx context.Context, id int) error {
	version, older, known := "", "", true
	for n := range g.Calls {
		op := Op{Client: id}
		switch dice := rand.N(10); {
		case !known || dice < 3:
		case dice == 3:
			op.IsSave, op.Prev = true, older
		default:
			op.IsSave, op.Prev = true, version
		}
		if op.IsSave {
			op.Data = fmt.Sprintf("%d of client %d", n, id)
		}
		if err := g.call(ctx, &op); err != nil {
			return err
		}
		if known = op.Outcome == Done; known && op.Version != version {
			version, older = op.Version, version
		}
	}
	return nil
}

// call makes one call and records it. It returns an error if the call ignores its context.
func (g *Game) call(ctx context.Context, op *Op) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	returned := make(chan error, 1)
	store, data, version := g.Stores[op.Client], []byte(op.Data), ""
	op.Start = g.clock.Add(1)
	go func() {
		var err error
		if op.IsSave {
			version, err = store.Save(ctx, g.Key, data, op.Prev)
		} else {
			data, version, err = store.Load(ctx, g.Key)
		}
		returned <- err
	}()
	if g.Cancels && rand.N(3) == 0 {
		after := time.AfterFunc(1+rand.N(2*time.Millisecond), cancel)
		defer after.Stop()
	}
	var err error
	select {
	case err = <-returned:
	case <-ctx.Done():
		late := time.NewTimer(CancelTimeout)
		defer late.Stop()
		select {
		case err = <-returned:
		case <-late.C:
			return fmt.Errorf("a call has not returned %v after its context was canceled", CancelTimeout)
		}
	}
	op.End = g.clock.Add(1)
	switch {
	case err == nil:
		op.Data, op.Version = string(data), version
	case op.IsSave && IsConflict(err):
		op.Outcome = Conflict
	default:
		op.Outcome = Unknown
	}
	if op.IsSave || err == nil {
		g.mu.Lock()
		g.history = append(g.history, *op)
		g.mu.Unlock()
	}
	return nil
}

// IsConflict reports whether err is a conflict in the sense of client.ConflictError.
func IsConflict(err error) bool {
	var c interface {
		error
		Conflict() bool
	}
	return errors.As(err, &c) && c.Conflict()
}

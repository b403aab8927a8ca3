// Package storetest tests implementations of [client.Store].
//
//	func TestStore(t *testing.T) {
//		db := openTestDatabase(t)
//		storetest.Run(t, func(t testing.TB) client.Store { return mystore.New(db) })
//	}
package storetest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
)

// Run tests a Store in subtests of t. Each call of open returns a Store on the same storage, if possible
// over a connection of its own: the Stores of a test play several processes. Their cleanup belongs into
// t.Cleanup of open's argument. open may return the same Store again if its connections do not matter.
//
// Run checks that
//   - a key without a record is reported as such, and its first record is created once;
//   - Save replaces the version that it names and nothing else, a conflict is an [client.ErrConflict] or
//     a [client.ConflictError] and changes nothing, and records that differ never share a version;
//   - each key has a record of its own, also if it has unusual characters; keys are valid UTF-8 without
//     NUL and have up to 200 bytes;
//   - binary records and records of 256 KiB are returned unchanged, and no slice is shared with the
//     caller;
//   - calls fail if their context has ended, and return if it ends meanwhile;
//   - the history of concurrent clients is linearizable: each call takes effect at one moment between
//     its start and its end, or later for a Save that has failed.
//
// A Load that returns a record that has been replaced does not pass. A subscription would recover from
// it, but take longer to find out what it owns.
//
// Run leaves its records in the storage, under keys that start with "storetest". Durability is not
// tested.
func Run(t *testing.T, open func(t testing.TB) client.Store) {
	prefix := "storetest " + rand.Text() + " "
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			s := &subject{func() client.Store { return open(t) }, prefix + c.name}
			if err := c.run(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
}

// A subject is the Store under test.
type subject struct {
	open func() client.Store // returns another Store on the same storage
	key  string              // unique for each check
}

// callTimeout bounds each call that is not canceled on purpose.
const callTimeout = 30 * time.Second

func load(ctx context.Context, s client.Store, key string) (data []byte, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.Load(ctx, key)
}

func save(ctx context.Context, s client.Store, key string, data []byte, prev string) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.Save(ctx, key, data, prev)
}

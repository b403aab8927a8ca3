package client

import "context"

// A Store keeps one small record for each key, under compare-and-swap. Its methods may
// be called from several goroutines and, when the storage is shared, from several
// processes. They honour ctx: a subscription that closes cancels it.
//
// Load returns the record and its version. A key that has none is nil, "", nil.
//
// Save replaces the record if its version is prev ("" for a key that has none) and
// returns the new version. It returns an error for which errors.Is(err, ErrConflict)
// holds when the version is another one. After any other error the record may or may
// not have been replaced: the caller finds out by Load, and saves again even if it has,
// because only a Save that returns nil reports that the record is durable, in whatever
// sense the Store documents.
//
// A record is never deleted: its epoch must not start anew.
type Store interface {
	Load(ctx context.Context, key string) (data []byte, version string, err error)
	Save(ctx context.Context, key string, data []byte, prev string) (version string, err error)
}

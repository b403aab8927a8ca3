package client

import "context"

// A Store keeps one small record for each key, with compare-and-swap. Its methods may be called
// from several goroutines and, if the storage is shared, from several processes. They must honor
// ctx: a subscription that closes cancels it.
//
// Load returns the record and its version, or nil, "", nil if the key has no record.
//
// Save replaces the record if its version is prev ("" if the key has no record) and returns the
// new version. If the record has another version, Save returns ErrConflict, or a [ConflictError]
// that counts as it. After any other error the record may or may not have been replaced. The
// subscription finds out with Load, and saves again even if it has been: only a Save that returns
// nil means that the record is durable, in the sense that the Store documents.
//
// A record must never be deleted: its epoch must not start again. To start a subscription from
// another position, or as for the first time, call [SetCheckpoint].
type Store interface {
	Load(ctx context.Context, key string) (data []byte, version string, err error)
	Save(ctx context.Context, key string, data []byte, prev string) (version string, err error)
}

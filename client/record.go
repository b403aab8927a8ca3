package client

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"
)

// record is what the Store keeps for a subscription. It is JSON, so that a person can read it.
type record struct {
	Format int `json:"format"`
	// Epoch counts the subscriptions that have owned the record. The subscription with the highest
	// epoch owns it; all others are fenced.
	Epoch uint64 `json:"epoch"`
	// Owner distinguishes two processes that claim the same epoch at the same time.
	Owner string `json:"owner"`
	// Write counts the owner's saves. It shows whether a save of unknown outcome has landed.
	Write uint64 `json:"write"`
	Token string `json:"token"` // resume after it; empty: no position
	// Bytes replaces Token if the token is not UTF-8, which JSON cannot hold.
	Bytes  []byte    `json:"token_base64,omitempty"`
	Events uint64    `json:"events"` // acknowledged so far, over all epochs
	Saved  time.Time `json:"saved"`
	Taken  time.Time `json:"taken"` // when this owner took the record over
	// Contest counts the takeovers in short succession before this one; see contested.
	Contest uint `json:"contest,omitempty"`
	// Takeovers counts those since the token has moved, unless the owner was closed or is known to
	// have been alive.
	Takeovers uint `json:"takeovers,omitempty"`
	// Suspect identifies the event that is in hand alone, or that ended the process of an earlier
	// owner. See suspects.
	Suspect string `json:"suspect,omitempty"`
	// Lease is how long the owner's lease lasts after each save, in milliseconds; 0: it has none.
	Lease int64 `json:"lease_ms,omitempty"`
	// Released ends the lease: the owner was closed.
	Released bool `json:"released,omitempty"`
	// Override is the Options.OverrideID that was applied last.
	Override string `json:"override,omitempty"`
}

const (
	recordFormat = 1
	maxEpoch     = 1 << 62 // never reached by counting
)

func parseRecord(data []byte) (record, error) {
	var r record
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return record{}, fmt.Errorf("corrupt record of %d bytes: %w", len(data), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return record{}, fmt.Errorf("corrupt record of %d bytes: data after byte %d", len(data), d.InputOffset())
	}
	if r.Format != recordFormat {
		return record{}, fmt.Errorf("record has format %d, want %d: another version of steadfeed wrote it", r.Format, recordFormat)
	}
	if r.Epoch == 0 || r.Epoch > maxEpoch || r.Owner == "" {
		return record{}, errors.New("corrupt record: it has no valid epoch or no owner")
	}
	if r.Lease < 0 || r.Lease > maxLease.Milliseconds() {
		return record{}, fmt.Errorf("corrupt record: a lease of %d ms", r.Lease)
	}
	if len(r.Bytes) > 0 {
		if r.Token != "" {
			return record{}, errors.New("corrupt record: it has two tokens")
		}
		r.Token, r.Bytes = string(r.Bytes), nil
	}
	return r, nil
}

func (r record) encode() []byte {
	r.Format = recordFormat
	if !utf8.ValidString(r.Token) {
		r.Token, r.Bytes = "", []byte(r.Token)
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		// Strings, numbers and a current time always encode.
		panic("client: " + err.Error())
	}
	return append(data, '\n')
}

// sameWriter reports whether both records were written by one subscription.
func (r record) sameWriter(o record) bool { return r.Epoch == o.Epoch && r.Owner == o.Owner }

func newOwner() string {
	var id [8]byte
	rand.Read(id[:])
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), hex.EncodeToString(id[:]))
}

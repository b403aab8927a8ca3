package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/internal/cell"
)

var checks = []struct {
	name string
	run  func(context.Context, *subject) error
}{
	{"absent key", checkAbsent},
	{"create", checkCreate},
	{"replace", checkReplace},
	{"two connections", checkConnections},
	{"keys", checkKeys},
	{"data", checkData},
	{"shared slices", checkSlices},
	{"ended context", checkEnded},
	{"concurrent", checkConcurrent},
	{"canceled", checkCanceled},
}

func checkAbsent(ctx context.Context, s *subject) error {
	store := s.open()
	if err := isAbsent(ctx, store, s.key); err != nil {
		return err
	}
	for _, prev := range []string{"1", "no version of this store"} {
		_, err := save(ctx, store, s.key, []byte("x"), prev)
		if err := isConflict(err, "a Save over version %q of a key without a record", prev); err != nil {
			return err
		}
	}
	return isAbsent(ctx, store, s.key)
}

func checkCreate(ctx context.Context, s *subject) error {
	store := s.open()
	version, err := mustSave(ctx, store, s.key, "first", "")
	if err != nil {
		return err
	}
	_, err = save(ctx, store, s.key, []byte("second"), "")
	if err := isConflict(err, "a Save over version \"\" of a key that has a record"); err != nil {
		return err
	}
	return holds(ctx, store, s.key, "first", version)
}

// checkReplace replaces a record often enough that counters overflow a byte.
func checkReplace(ctx context.Context, s *subject) error {
	store := s.open()
	versions, version := []string{""}, ""
	for i := range 300 {
		next, err := mustSave(ctx, store, s.key, fmt.Sprintf("record %d", i), version)
		if err != nil {
			return err
		}
		for n, old := range versions {
			if old == next {
				return fmt.Errorf("version %q of record %d is that of record %d", next, i, n-1)
			}
		}
		version = next
		versions = append(versions, next)
	}
	for _, prev := range append(versions[:len(versions)-1], version+"0", "-1", "no version of this store") {
		_, err := save(ctx, store, s.key, []byte("stale"), prev)
		if err := isConflict(err, "a Save over version %q of a record with version %q", prev, version); err != nil {
			return err
		}
	}
	return holds(ctx, store, s.key, "record 299", version)
}

// checkConnections lets a second connection take the record over from the first one.
func checkConnections(ctx context.Context, s *subject) error {
	first, second := s.open(), s.open()
	if err := isAbsent(ctx, second, s.key); err != nil {
		return err
	}
	version, err := mustSave(ctx, first, s.key, "of the first", "")
	if err != nil {
		return err
	}
	if err := holds(ctx, second, s.key, "of the first", version); err != nil {
		return fmt.Errorf("on another connection: %w", err)
	}
	taken, err := mustSave(ctx, second, s.key, "of the second", version)
	if err != nil {
		return fmt.Errorf("on another connection: %w", err)
	}
	_, err = save(ctx, first, s.key, []byte("late"), version)
	if err := isConflict(err, "a Save over a version that another connection has replaced"); err != nil {
		return err
	}
	return holds(ctx, first, s.key, "of the second", taken)
}

// keys must not be normalized, and must not be mistaken for paths, patterns or parts of a statement.
var keys = []string{
	"a", "A", "a ", " a", "a.", "a/b", "a//b", "a/./b", "a/../b", "a\\b", "a%2Fb", "a:b", "a*", "a>", "a?", "a_", "a%", "a\t", "a\nb",
	`a'b`, `a"b`, "a`b", "a;--", "$1", "{a}", ".", "..", "../a", "/", "ä", "a\u0308", "Ä", "ß", "ss", "日本", "\U0001f600",
	strings.Repeat("long", 30), strings.Repeat("long", 30) + "er",
}

func checkKeys(ctx context.Context, s *subject) error {
	store := s.open()
	for _, key := range keys {
		if _, err := mustSave(ctx, store, s.key+key, "record of "+key, ""); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	for _, key := range keys {
		data, _, err := load(ctx, store, s.key+key)
		if err != nil {
			return fmt.Errorf("key %q: a Load: %w", key, err)
		}
		if string(data) != "record of "+key {
			return fmt.Errorf("key %q has the %q", key, data)
		}
	}
	return nil
}

func checkData(ctx context.Context, s *subject) error {
	store := s.open()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	version := ""
	for _, data := range [][]byte{all, {0}, []byte("ends with NUL\x00"), []byte("\xff\xfe"), []byte(" \r\n "), bytes.Repeat(all, 1024)} {
		var err error
		if version, err = mustSave(ctx, store, s.key, string(data), version); err != nil {
			return fmt.Errorf("a record of %d bytes: %w", len(data), err)
		}
		if err := holds(ctx, store, s.key, string(data), version); err != nil {
			return err
		}
	}
	return nil
}

func checkSlices(ctx context.Context, s *subject) error {
	store := s.open()
	data := []byte("record")
	version, err := save(ctx, store, s.key, data, "")
	if err != nil {
		return fmt.Errorf("a Save: %w", err)
	}
	data[0] = 'X'
	if err := holds(ctx, store, s.key, "record", version); err != nil {
		return fmt.Errorf("after the caller has changed the slice given to Save: %w", err)
	}
	data, _, err = load(ctx, store, s.key)
	if err != nil {
		return fmt.Errorf("a Load: %w", err)
	}
	data[0] = 'X'
	if err := holds(ctx, store, s.key, "record", version); err != nil {
		return fmt.Errorf("after the caller has changed the slice returned by Load: %w", err)
	}
	return nil
}

func checkEnded(ctx context.Context, s *subject) error {
	store := s.open()
	version, err := mustSave(ctx, store, s.key, "record", "")
	if err != nil {
		return err
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := store.Load(ended, s.key); err == nil {
		return errors.New("a Load succeeds although its context has ended")
	}
	switch _, err := store.Save(ended, s.key, []byte("canceled"), version); {
	case err == nil:
		return errors.New("a Save succeeds although its context has ended")
	case cell.IsConflict(err):
		return fmt.Errorf("a Save with the right version reports a conflict because its context has ended: %w", err)
	}
	if _, _, err := load(ctx, store, s.key); err != nil {
		return fmt.Errorf("a Load after a canceled call: %w", err)
	}
	return nil
}

// Numbers of a game: enough that a race of a few microseconds shows.
const (
	players  = 6
	calls    = 50
	minSaves = players // Saves that must succeed
)

func checkConcurrent(ctx context.Context, s *subject) error {
	return play(ctx, s, &cell.Game{Key: s.key, Calls: calls})
}

func checkCanceled(ctx context.Context, s *subject) error {
	return play(ctx, s, &cell.Game{Key: s.key, Calls: calls, Cancels: true})
}

func play(ctx context.Context, s *subject, g *cell.Game) error {
	for range players {
		g.Stores = append(g.Stores, s.open())
	}
	history, err := g.Play(ctx)
	if err != nil {
		return err
	}
	done := 0
	for _, op := range history {
		if op.IsSave && op.Outcome == cell.Done {
			done++
		}
	}
	if done < minSaves {
		return fmt.Errorf("%d of %d calls of %d clients were a Save that succeeded, want at least %d", done, players*calls, players, minSaves)
	}
	return cell.Check(history)
}

// mustSave saves data over the version prev, which is stored.
func mustSave(ctx context.Context, store client.Store, key, data, prev string) (version string, err error) {
	version, err = save(ctx, store, key, []byte(data), prev)
	switch {
	case err != nil:
		return "", fmt.Errorf("a Save over version %q: %w", prev, err)
	case version == "":
		return "", fmt.Errorf("a Save over version %q returns no version", prev)
	}
	return version, nil
}

// holds returns an error unless the record is data with a version.
func holds(ctx context.Context, store client.Store, key, data, version string) error {
	got, v, err := load(ctx, store, key)
	switch {
	case err != nil:
		return fmt.Errorf("a Load: %w", err)
	case string(got) != data:
		return fmt.Errorf("a Load returns %.80q (%d bytes), want %.80q (%d bytes)", got, len(got), data, len(data))
	case v != version:
		return fmt.Errorf("a Load returns version %q, want %q, which Save returned", v, version)
	}
	return nil
}

func isAbsent(ctx context.Context, store client.Store, key string) error {
	data, version, err := load(ctx, store, key)
	if data != nil || version != "" || err != nil {
		return fmt.Errorf("a Load of a key without a record returns %#v, %q, %v, want nil, \"\", nil", data, version, err)
	}
	return nil
}

// isConflict returns an error unless err is a conflict.
func isConflict(err error, call string, args ...any) error {
	call = fmt.Sprintf(call, args...)
	switch {
	case err == nil:
		return fmt.Errorf("%s succeeds, want client.ErrConflict", call)
	case !cell.IsConflict(err):
		return fmt.Errorf("%s returns %w, want client.ErrConflict", call, err)
	}
	return nil
}

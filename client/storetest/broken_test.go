package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
)

// A memory is a correct Store, whose parts the broken ones replace.
type memory struct {
	mu      sync.Mutex
	records map[string]row
	last    int
}

type row struct {
	data    []byte
	version string
}

func (m *memory) Load(ctx context.Context, key string) ([]byte, string, error) {
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.records[key]
	return bytes.Clone(r.data), r.version, nil
}

func (m *memory) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records[key].version != prev {
		return "", client.ErrConflict
	}
	return m.put(key, data), nil
}

func (m *memory) put(key string, data []byte) string {
	m.last++
	if m.records == nil {
		m.records = make(map[string]row)
	}
	m.records[key] = row{bytes.Clone(data), strconv.Itoa(m.last)}
	return strconv.Itoa(m.last)
}

// A broken Store replaces a method of a correct one. A nil function replaces nothing.
type broken struct {
	*memory
	load func(ctx context.Context, key string) ([]byte, string, error)
	save func(ctx context.Context, key string, data []byte, prev string) (string, error)
}

func (b *broken) Load(ctx context.Context, key string) ([]byte, string, error) {
	if b.load != nil {
		return b.load(ctx, key)
	}
	return b.memory.Load(ctx, key)
}

func (b *broken) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if b.save != nil {
		return b.save(ctx, key, data, prev)
	}
	return b.memory.Save(ctx, key, data, prev)
}

// onSave returns how to open a Store whose Save is save. m is the correct one of all its connections.
func onSave(save func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error)) func() func() client.Store {
	return func() func() client.Store {
		m := &memory{}
		return func() client.Store {
			return &broken{memory: m, save: func(ctx context.Context, key string, data []byte, prev string) (string, error) {
				return save(m, ctx, key, data, prev)
			}}
		}
	}
}

func onLoad(load func(m *memory, ctx context.Context, key string) ([]byte, string, error)) func() func() client.Store {
	return func() func() client.Store {
		m := &memory{}
		return func() client.Store {
			return &broken{memory: m, load: func(ctx context.Context, key string) ([]byte, string, error) { return load(m, ctx, key) }}
		}
	}
}

// onKey changes keys; onData, records.
func onKey(change func(string) string) func() func() client.Store {
	return func() func() client.Store {
		m := &memory{}
		return func() client.Store {
			return &broken{m,
				func(ctx context.Context, key string) ([]byte, string, error) { return m.Load(ctx, change(key)) },
				func(ctx context.Context, key string, data []byte, prev string) (string, error) {
					return m.Save(ctx, change(key), data, prev)
				}}
		}
	}
}

func onData(change func([]byte) []byte) func() func() client.Store {
	return onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		return m.Save(ctx, key, change(data), prev)
	})
}

// A connection has state of its own, unlike the memory that it uses.
func perConnection(open func(m *memory) client.Store) func() func() client.Store {
	return func() func() client.Store {
		m := &memory{}
		return func() client.Store { return open(m) }
	}
}

var errBroken = errors.New("broken")

var brokenStores = []struct {
	name, check string // the check that must find it
	open        func() func() client.Store
}{
	{"an absent record is empty", "absent key", onLoad(func(m *memory, ctx context.Context, key string) ([]byte, string, error) {
		data, version, err := m.Load(ctx, key)
		return append([]byte{}, data...), version, err
	})},
	{"an absent record is an error", "absent key", onLoad(func(m *memory, ctx context.Context, key string) ([]byte, string, error) {
		data, version, err := m.Load(ctx, key)
		if err == nil && data == nil {
			err = errBroken
		}
		return data, version, err
	})},
	{"an absent record has a version", "absent key", onLoad(func(m *memory, ctx context.Context, key string) ([]byte, string, error) {
		data, version, err := m.Load(ctx, key)
		if version == "" {
			version = "0"
		}
		return data, version, err
	})},
	{"any version creates", "absent key", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		if _, version, _ := m.Load(ctx, key); version == "" {
			prev = ""
		}
		return m.Save(ctx, key, data, prev)
	})},
	{"a version that is no number is an error", "absent key", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		if _, err := strconv.Atoi(prev); err != nil && prev != "" {
			return "", err
		}
		return m.Save(ctx, key, data, prev)
	})},
	{"creating overwrites", "create", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		if prev == "" {
			_, prev, _ = m.Load(ctx, key)
		}
		return m.Save(ctx, key, data, prev)
	})},
	{"a conflict is another error", "absent key", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		version, err := m.Save(ctx, key, data, prev)
		if errors.Is(err, client.ErrConflict) {
			err = errBroken
		}
		return version, err
	})},
	{"a conflict is not reported", "absent key", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		version, err := m.Save(ctx, key, data, prev)
		if errors.Is(err, client.ErrConflict) {
			_, version, err = m.Load(ctx, key)
		}
		return version, err
	})},
	{"the last writer wins", "create", onSave(func(m *memory, _ context.Context, key string, data []byte, _ string) (string, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.put(key, data), nil
	})},
	{"a conflict is applied", "create", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		version, err := m.Save(ctx, key, data, prev)
		if errors.Is(err, client.ErrConflict) && prev == "" {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.put(key, data)
		}
		return version, err
	})},
	{"Save returns no version", "create", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		_, err := m.Save(ctx, key, data, prev)
		return "", err
	})},
	{"Save returns the old version", "replace", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		version, err := m.Save(ctx, key, data, prev)
		if err == nil && prev != "" {
			version = prev
		}
		return version, err
	})},
	{"versions of one byte", "replace", perConnection(func(m *memory) client.Store { return &short{m} })},
	{"a version is compared as a prefix", "replace", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		if _, version, _ := m.Load(ctx, key); version != "" && strings.HasPrefix(prev, version) {
			prev = version
		}
		return m.Save(ctx, key, data, prev)
	})},
	{"older versions are accepted", "replace", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		_, version, _ := m.Load(ctx, key)
		have, _ := strconv.Atoi(version)
		if want, err := strconv.Atoi(prev); err == nil && want > 0 && want <= have {
			prev = version
		}
		return m.Save(ctx, key, data, prev)
	})},
	{"each connection has its own records", "two connections", perConnection(func(*memory) client.Store { return &memory{} })},
	{"a connection caches", "two connections", perConnection(func(m *memory) client.Store { return &cache{memory: m} })},
	{"keys without case", "keys", onKey(strings.ToLower)},
	{"keys without trailing space", "keys", onKey(func(key string) string { return strings.TrimRight(key, " ") })},
	{"keys are paths", "keys", onKey(path.Clean)},
	{"keys of 128 bytes", "keys", onKey(func(key string) string { return key[:min(len(key), 128)] })},
	{"keys are ASCII", "keys", onKey(func(key string) string {
		return strings.Map(func(r rune) rune { return min(r, '?') }, key)
	})},
	{"records end at NUL", "data", onData(func(data []byte) []byte { head, _, _ := bytes.Cut(data, []byte{0}); return head })},
	{"records are text", "data", onData(func(data []byte) []byte { return bytes.ToValidUTF8(data, []byte("?")) })},
	{"records are trimmed", "data", onData(bytes.TrimSpace)},
	{"records of 64 KiB", "data", onData(func(data []byte) []byte { return data[:min(len(data), 1<<16-1)] })},
	{"Save keeps the slice", "shared slices", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		version, err := m.Save(ctx, key, data, prev)
		if err == nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.records[key] = row{data, version}
		}
		return version, err
	})},
	{"Load returns its slice", "shared slices", onLoad(func(m *memory, ctx context.Context, key string) ([]byte, string, error) {
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.records[key].data, m.records[key].version, nil
	})},
	{"Load ignores an ended context", "ended context", onLoad(func(m *memory, _ context.Context, key string) ([]byte, string, error) {
		return m.Load(context.Background(), key)
	})},
	{"Save ignores an ended context", "ended context", onSave(func(m *memory, _ context.Context, key string, data []byte, prev string) (string, error) {
		return m.Save(context.Background(), key, data, prev)
	})},
	{"an ended context is a conflict", "ended context", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		version, err := m.Save(ctx, key, data, prev)
		if ctx.Err() != nil {
			err = client.ErrConflict
		}
		return version, err
	})},
	{"Save compares before it locks", "concurrent", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		if _, version, err := m.Load(ctx, key); err != nil || version != prev {
			return "", errors.Join(err, client.ErrConflict)
		}
		time.Sleep(time.Microsecond)
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.put(key, data), nil
	})},
	{"Load reads data and version separately", "concurrent", onLoad(func(m *memory, ctx context.Context, key string) ([]byte, string, error) {
		data, _, err := m.Load(ctx, key)
		time.Sleep(time.Microsecond)
		_, version, _ := m.Load(context.Background(), key)
		return data, version, err
	})},
	{"a repeated Save conflicts with itself", "concurrent", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		version, err := m.Save(ctx, key, data, prev)
		if err == nil && strings.HasPrefix(string(data), "1") {
			return m.Save(ctx, key, data, prev)
		}
		return version, err
	})},
	{"some Saves are lost", "concurrent", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		if !strings.Contains(string(data), "7 of client") {
			return m.Save(ctx, key, data, prev)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.records[key].version != prev {
			return "", client.ErrConflict
		}
		m.last++
		return strconv.Itoa(m.last), nil
	})},
	{"a conflict under contention although nothing has changed", "concurrent", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		if strings.Contains(string(data), "9 of client") {
			return "", client.ErrConflict
		}
		return m.Save(ctx, key, data, prev)
	})},
	{"Saves fail under contention", "concurrent", func() func() client.Store {
		m, busy := &memory{}, make(chan struct{}, 1)
		return func() client.Store {
			return &broken{memory: m, save: func(ctx context.Context, key string, data []byte, prev string) (string, error) {
				if strings.Contains(string(data), "of client") && len(busy) == 0 {
					busy <- struct{}{} // never left
					return m.Save(ctx, key, data, prev)
				}
				if strings.Contains(string(data), "of client") {
					return "", errBroken
				}
				return m.Save(ctx, key, data, prev)
			}}
		}
	}},
	{"Save ignores its context while it waits", "canceled", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		if _, of, _ := strings.Cut(string(data), " of "); of != "" {
			time.Sleep(time.Hour)
		}
		return m.Save(ctx, key, data, prev)
	})},
	{"Save reports a conflict when it is canceled", "canceled", onSave(func(m *memory, ctx context.Context, key string, data []byte, prev string) (string, error) {
		version, err := m.Save(ctx, key, data, prev)
		time.Sleep(time.Millisecond)
		if err == nil && ctx.Err() != nil {
			err = client.ErrConflict
		}
		return version, err
	})},
}

// TestBroken checks that each kind of broken Store is found, and that the correct one which they are
// made from is not.
func TestBroken(t *testing.T) {
	for _, b := range brokenStores {
		t.Run(b.name, func(t *testing.T) {
			found := failures(t, b.open())
			if _, ok := found[b.check]; !ok {
				t.Errorf("check %q does not find it; found: %v", b.check, found)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		if found := failures(t, perConnection(func(m *memory) client.Store { return m })()); len(found) > 0 {
			t.Errorf("a correct Store fails: %v", found)
		}
	})
}

func failures(t *testing.T, open func() client.Store) map[string]error {
	found := make(map[string]error)
	for _, c := range checks {
		synctest.Test(t, func(t *testing.T) {
			if err := c.run(context.Background(), &subject{open, "key " + c.name}); err != nil {
				found[c.name] = err
			}
			time.Sleep(2 * time.Hour) // a Store that ignores its context ends, too
		})
	}
	return found
}

// TestEachCheckIsNeeded checks that a broken Store is in the table for each check.
func TestEachCheckIsNeeded(t *testing.T) {
	for _, c := range checks {
		needed := false
		for _, b := range brokenStores {
			needed = needed || b.check == c.name
		}
		if !needed {
			t.Errorf("no broken Store needs check %q", c.name)
		}
	}
}

// A short Store has versions of one byte.
type short struct{ m *memory }

func (s *short) Load(ctx context.Context, key string) ([]byte, string, error) {
	data, version, err := s.m.Load(ctx, key)
	return data, s.cut(version), err
}

func (s *short) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	if _, version, _ := s.m.Load(ctx, key); s.cut(version) == prev {
		prev = version
	}
	version, err := s.m.Save(ctx, key, data, prev)
	return s.cut(version), err
}

func (s *short) cut(version string) string {
	if version == "" {
		return ""
	}
	n, _ := strconv.Atoi(version)
	return fmt.Sprintf("%02x", byte(n))
}

// A cache returns a record that it has read or written before.
type cache struct {
	*memory
	mu   sync.Mutex
	rows map[string]row
}

func (c *cache) Load(ctx context.Context, key string) ([]byte, string, error) {
	c.mu.Lock()
	r, ok := c.rows[key]
	c.mu.Unlock()
	if ok {
		return bytes.Clone(r.data), r.version, ctx.Err()
	}
	data, version, err := c.memory.Load(ctx, key)
	if err == nil && data != nil {
		c.keep(key, data, version)
	}
	return data, version, err
}

func (c *cache) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	version, err := c.memory.Save(ctx, key, data, prev)
	if err == nil {
		c.keep(key, data, version)
	}
	return version, err
}

func (c *cache) keep(key string, data []byte, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		c.rows = make(map[string]row)
	}
	c.rows[key] = row{bytes.Clone(data), version}
}

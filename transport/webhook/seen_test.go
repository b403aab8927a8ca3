package webhook_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook"
)

// forgetful is a simple reference implementation of SeenSet.
type forgetful struct {
	most int
	all  []noted
}

type noted struct {
	key   [2]uint64
	until time.Duration
}

func (f *forgetful) until(k [2]uint64) (time.Duration, bool) {
	for i := len(f.all) - 1; i >= 0; i-- {
		if f.all[i].key == k {
			return f.all[i].until, true
		}
	}
	return 0, false
}

func (f *forgetful) add(k [2]uint64, now, until time.Duration) {
	for len(f.all) > 0 && (len(f.all) == f.most || f.all[0].until <= now) {
		f.all = f.all[1:]
	}
	f.all = append(f.all, noted{k, until})
}

// someKey returns one of a few keys that collide: they hash to few places and share the bits that
// are compared first.
func someKey(n byte) [2]uint64 {
	return [2]uint64{uint64(n&3) | uint64(n>>2&3)<<8 | uint64(n>>4&1)<<33, uint64(n >> 5)}
}

// checkMemory adds keys and compares the set with the reference. Each step is a key and the time
// that passes.
func checkMemory(t *testing.T, most int, life time.Duration, steps []byte) {
	real, simple := webhook.NewSeenSet(most), &forgetful{most: most}
	var now time.Duration
	for len(steps) >= 2 {
		k := someKey(steps[0])
		now += time.Duration(steps[1] & 3)
		steps = steps[2:]
		real.Add(k, now, now+life)
		simple.add(k, now, now+life)
		for n := len(steps) / 2 % 16; n < 256; n += 16 {
			k := someKey(byte(n))
			got, known := real.Until(k)
			want, wanted := simple.until(k)
			if got != want || known != wanted {
				t.Fatalf("key %x is known until %v, %v; want %v, %v", k, got, known, want, wanted)
			}
		}
	}
}

func FuzzSeenSet(f *testing.F) {
	f.Add(uint8(3), uint8(10), []byte("\x00\x00\x04\x00\x00\x01\x10\x02\x04\x00"))
	f.Add(uint8(200), uint8(255), bytes.Repeat([]byte("0123456789abcdef"), 40))
	f.Fuzz(func(t *testing.T, most, life uint8, steps []byte) {
		checkMemory(t, int(most)+1, time.Duration(life)+1, steps[:min(len(steps), 2000)])
	})
}

func TestSeenSet(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 1))
		steps := make([]byte, 1200)
		for i := range steps {
			steps[i] = byte(r.Uint32())
		}
		checkMemory(t, 1+r.IntN(300), time.Duration(1+r.IntN(500)), steps)
	}
}

// A set that many keys have passed through, even past the end of its sequence numbers, has room for
// no more than it needs.
func TestSeenSetIsBounded(t *testing.T) {
	for _, most := range []int{1, 100, 128} {
		m := webhook.NewSeenSet(most)
		m.StartAt(1<<32 - 500)
		r := rand.New(rand.NewPCG(1, 1))
		last := make([][2]uint64, most)
		for i := range 5000 {
			k := [2]uint64{r.Uint64(), r.Uint64()}
			m.Add(k, 0, 1)
			old := last[i%most]
			last[i%most] = k
			if _, known := m.Until(old); known && i >= most {
				t.Fatalf("after %d keys: got the one before the last %d known, want it forgotten", i, most)
			}
			for _, k := range last[:min(i+1, most)] {
				if _, known := m.Until(k); !known {
					t.Fatalf("after %d keys: got one of the last %d forgotten, want it known", i, most)
				}
			}
		}
		if n := m.Places(); n > max(64, 2*most) {
			t.Errorf("got %d places for %d keys, want at most %d", n, most, max(64, 2*most))
		}
	}
}

// BenchmarkSeenSet measures the cost of an acknowledged delivery: looking up the key, adding it,
// and dropping the oldest.
func BenchmarkSeenSet(b *testing.B) {
	m := webhook.NewSeenSet(1 << 16)
	r := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		k := [2]uint64{r.Uint64(), r.Uint64()}
		m.Until(k)
		m.Add(k, 0, 1)
	}
}

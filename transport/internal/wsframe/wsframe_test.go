package wsframe

import (
	"bytes"
	"testing"
)

// reference counts messages in the simplest way.
func reference(p []byte) (messages int, masked bool) {
	for len(p) >= 2 {
		first, second := p[0], p[1]
		extra := map[byte]int{126: 2, 127: 8}[second&0x7f]
		if len(p) < 2+extra {
			return messages, false
		}
		length := uint64(second & 0x7f)
		if extra > 0 {
			length = 0
			for _, b := range p[2 : 2+extra] {
				length = length<<8 | uint64(b)
			}
		}
		if second&0x80 != 0 {
			return messages, true
		}
		p = p[2+extra:]
		if uint64(len(p)) < length {
			return messages, false
		}
		p = p[length:]
		if first&0x0f < 8 && first&0x80 != 0 {
			messages++
		}
	}
	return messages, false
}

// FuzzFollower compares a Follower with the reference for any segmentation of the input.
func FuzzFollower(fuzz *testing.F) {
	fuzz.Add([]byte("\x81\x05hello\x01\x02ab\x89\x00\x80\x01c\x88\x02\x03\xe8"), uint8(1))
	fuzz.Add(append([]byte{0x82, 126, 1, 0}, bytes.Repeat([]byte("x"), 300)...), uint8(7))
	fuzz.Add([]byte{0x81, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'x', 0x81, 0x81, 1, 2, 3, 4, 5}, uint8(3))
	fuzz.Fuzz(func(t *testing.T, p []byte, size uint8) {
		want, masked := reference(p)
		var f Follower
		got := 0
		for rest := p; len(rest) > 0 && !f.Masked; {
			chunk := rest[:min(len(rest), int(size)+1)]
			rest = rest[len(chunk):]
			for len(chunk) > 0 && !f.Masked {
				n, whole := f.Next(chunk)
				if n == 0 {
					t.Fatal("Next: got no byte consumed, want at least one")
				}
				if whole {
					got++
				}
				chunk = chunk[n:]
			}
		}
		if got != want || int(f.Messages) != want || f.Masked != masked {
			t.Errorf("got %d messages (%d counted), masked %v, want %d, %v", got, f.Messages, f.Masked, want, masked)
		}
		if len(f.Closing) > len(p) {
			t.Errorf("got a close payload of %d bytes from %d", len(f.Closing), len(p))
		}
	})
}

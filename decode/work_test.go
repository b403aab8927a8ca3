package decode_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

// large are framings with the beginning and the end of a frame around any number of x, and
// what would end the frame if it were found among them.
var large = []struct {
	format        decode.Format
	head, tail    string
	poison        string
	before, after string // what of head and tail is not part of the data
}{
	{decode.SSE{}, "data: ", "\n\n", "\r\n\r\n", "data: ", "\n\n"},
	{decode.Lines{}, "", "\n", "\r\n", "", "\n"},
	{decode.NDJSON{}, `"`, "\"\n", "\r\n", "", "\n"},
	{decode.RSJSON{}, `"`, "\"\x1e", "\x1e", "", "\x1e"},
	{decode.CRLFJSON{}, `"`, "\"\r\n", "\r\n", "", "\r\n"},
	{decode.LengthPrefixed{}, fmt.Sprint(largeSize) + "\n", "\n", "\r\n1\n", fmt.Sprint(largeSize) + "\n", "\n"},
	{decode.LengthPrefixed{}, "2\n", "\n", "\r\n1\n", "2\n", "\n"},
	{decode.Uint32Prefixed{}, string(binary.BigEndian.AppendUint32(nil, largeSize)), "", "\x00", string(binary.BigEndian.AppendUint32(nil, largeSize)), ""},
	{decode.VarintPrefixed{}, string(binary.AppendUvarint(nil, largeSize)), "", "\x00", string(binary.AppendUvarint(nil, largeSize)), ""},
	{decode.JSONSeq{}, "\x1e[\"", "\"]\n", "\"]\x1e", "\x1e", "\n"},
	{decode.ConcatJSON{}, `{"a":["\\`, `"]}`, `"]}`, "", ""},
	{decode.ConcatJSON{}, `"`, `"`, `"]}`, "", ""},
	{decode.JSONArray{}, `[{"a":["\\`, `"]}`, `"]}]`, "[", ""},
}

const (
	largeSize = 1 << 20
	piece     = 1 << 10
)

// TestEachByteIsLookedAtOnce feeds a frame of 1 MiB in pieces of 1 KiB. What a splitter has
// seen is then overwritten with what would end the frame: it would be found if it
// were looked at again. So the work is linear, whatever the time it takes.
func TestEachByteIsLookedAtOnce(t *testing.T) {
	const margin = 16 // the last bytes may be half of what ends a frame
	for _, c := range large {
		t.Run(fmt.Sprintf("%T %.3s", c.format, c.head), func(t *testing.T) {
			in := slices.Concat([]byte(c.head), bytes.Repeat([]byte("x"), largeSize), []byte(c.tail))
			poison := strings.Repeat(c.poison, 2*piece)
			s := c.format.NewSplitter(2 * largeSize)
			start, clean := 0, len(c.head)
			for end := piece; ; end = min(end+piece, len(in)) {
				var f decode.Frame
				n, ok, err := s.Split(&f, in[start:end], false)
				for n > 0 && !ok && err == nil { // a prefix has been taken
					start += n
					n, ok, err = s.Split(&f, in[start:end], false)
				}
				if ok || err != nil || end == len(in) {
					want := len(in) - len(c.before) - len(c.after)
					if err != nil || !ok || len(f.Data) != want || end < len(in)-len(c.after) {
						t.Fatalf("after %d of %d bytes: a frame of %d bytes, %v", end, len(in), len(f.Data), err)
					}
					return
				}
				clean += copy(in[clean:end-margin], poison)
			}
		})
	}
}

// TestLargeFrames reads frames larger than a slab, and what they cost.
func TestLargeFrames(t *testing.T) {
	for _, c := range large {
		in := c.head + strings.Repeat("x", largeSize) + c.tail
		want := in[len(c.before) : len(in)-len(c.after)]
		reads := 0
		pieces := strings.NewReader(in)
		src := readerFunc(func(p []byte) (int, error) {
			reads++
			return pieces.Read(p[:min(piece, len(p))])
		})
		var got decode.Frame
		var err error
		allocated := allocatedBy(func() { got, err = next(newReader(src, c.format, 2*largeSize)) })
		if err != nil || string(got.Data) != want {
			t.Errorf("%T: %d bytes, %v", c.format, len(got.Data), err)
		}
		// Slabs double, so that they hold less than twice the frame, and the last one more
		// than the frame itself.
		if allocated > 5*largeSize {
			t.Errorf("%T: %d bytes allocated for a frame of %d", c.format, allocated, largeSize)
		}
		if reads > 2*largeSize/piece {
			t.Errorf("%T: %d reads", c.format, reads)
		}
	}
}

// TestLargeSlabIsLetGo reads small frames behind a large one: they must not be in what is
// left of its slab, which one of them would keep alive.
func TestLargeSlabIsLetGo(t *testing.T) {
	small := strings.Repeat(strings.Repeat("y", 999)+"\n", 2000)
	for size := 1 << 20; size < 4<<20; size += 512 << 10 {
		d := decode.NewReader(strings.NewReader(strings.Repeat("x", size)+"\n"+small), decode.NDJSON{})
		if _, err := next(d); err != nil {
			t.Fatal(err)
		}
		allocated := allocatedBy(func() {
			for range 2000 {
				if _, err := next(d); err != nil {
					t.Fatal(err)
				}
			}
		})
		if allocated < uint64(len(small))*15/16 {
			t.Errorf("behind a frame of %d: %d bytes of frames in %d of new memory", size, len(small), allocated)
		}
	}
}

// TestNothingLentNothingTaken reads what brings no data: the one slab is used again.
func TestNothingLentNothingTaken(t *testing.T) {
	for name, c := range map[string]struct {
		format decode.Format
		filler string
	}{
		"empty lines":     {decode.NDJSON{}, "\n"},
		"comments":        {decode.SSE{}, ": nothing to say\n\n"},
		"unknown fields":  {decode.SSE{}, "what: ever\n"},
		"white space":     {decode.ConcatJSON{}, " \n"},
		"empty records":   {decode.JSONSeq{}, "\x1e"},
		"zero lengths":    {decode.Uint32Prefixed{}, "\x00\x00\x00\x00"},
		"oversize lines":  {decode.NDJSON{}, strings.Repeat("x", 5000) + "\n"},
		"oversize values": {decode.ConcatJSON{}, `"` + strings.Repeat("x", 5000) + `"`},
		"oversize blocks": {decode.SSE{}, "data: " + strings.Repeat("x", 5000) + "\n\n"},
		"junk":            {decode.JSONSeq{}, strings.Repeat("x", 5000)},
	} {
		const size = 2 << 20
		in := strings.NewReader(strings.Repeat(c.filler, size/len(c.filler)))
		d := newReader(in, c.format, 1000)
		d.OnBadFrame = func(*decode.FrameError) {}
		allocated := allocatedBy(func() {
			for {
				f, err := next(d)
				if err == io.EOF || err != nil && in.Len() == 0 {
					return
				}
				if err != nil || f.Kind != decode.KindKeepalive {
					t.Fatalf("%s: %+v, %v", name, f, err)
				}
			}
		})
		if allocated > size/8 {
			t.Errorf("%s: %d bytes allocated for %d of nothing", name, allocated, size)
		}
	}
}

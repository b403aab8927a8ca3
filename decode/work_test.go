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

// large are framings with the start and the end of a frame around any number of x, and a poison that
// would end the frame if it were found among them.
var large = []struct {
	format        decode.Format
	head, tail    string
	poison        string
	before, after string // the parts of head and tail that are not part of the data
}{
	{decode.SSE{}, "data: ", "\n\n", "\r\n\r\n", "data: ", "\n\n"},
	{decode.Lines, "", "\n", "\r\n", "", "\n"},
	{decode.NDJSON, `"`, "\"\n", "\r\n", "", "\n"},
	{decode.RSJSON, `"`, "\"\x1e", "\x1e", "", "\x1e"},
	{decode.CRLFJSON, `"`, "\"\r\n", "\r\n", "", "\r\n"},
	{decode.LengthPrefixed, fmt.Sprint(largeSize) + "\n", "\n", "\r\n1\n", fmt.Sprint(largeSize) + "\n", "\n"},
	{decode.LengthPrefixed, "2\n", "\n", "\r\n1\n", "2\n", "\n"},
	{decode.Uint32Prefixed, string(binary.BigEndian.AppendUint32(nil, largeSize)), "", "\x00", string(binary.BigEndian.AppendUint32(nil, largeSize)), ""},
	{decode.VarintPrefixed, string(binary.AppendUvarint(nil, largeSize)), "", "\x00", string(binary.AppendUvarint(nil, largeSize)), ""},
	{decode.JSONSeq, "\x1e[\"", "\"]\n", "\"]\x1e", "\x1e", "\n"},
	{decode.ConcatJSON, `{"a":["\\`, `"]}`, `"]}`, "", ""},
	{decode.ConcatJSON, `"`, `"`, `"]}`, "", ""},
	{decode.JSONArray, `[{"a":["\\`, `"]}`, `"]}]`, "[", ""},
}

const (
	largeSize = 1 << 20
	piece     = 1 << 10
)

// TestEachByteIsExaminedOnce passes a frame of 1 MiB in pieces of 1 KiB. The bytes that a splitter
// has examined are then overwritten with poison, which it would find if it examined them again. So
// the work is linear, and no clock is needed to show it.
func TestEachByteIsExaminedOnce(t *testing.T) {
	const margin = 16 // the last bytes may be part of the end of a frame
	for _, c := range large {
		t.Run(fmt.Sprintf("%T %.3s", c.format, c.head), func(t *testing.T) {
			in := slices.Concat([]byte(c.head), bytes.Repeat([]byte("x"), largeSize), []byte(c.tail))
			poison := strings.Repeat(c.poison, 2*piece)
			s := c.format.NewSplitter(2 * largeSize)
			start, clean := 0, len(c.head)
			for end := piece; ; end = min(end+piece, len(in)) {
				var f decode.Frame
				n, ok, err := s.Split(&f, in[start:end], false)
				for n > 0 && !ok && err == nil { // a prefix has been consumed
					start += n
					n, ok, err = s.Split(&f, in[start:end], false)
				}
				if ok || err != nil || end == len(in) {
					want := len(in) - len(c.before) - len(c.after)
					if err != nil || !ok || len(f.Data) != want || end < len(in)-len(c.after) {
						t.Fatalf("after %d of %d bytes: got a frame of %d bytes, error %v, want %d bytes at the end", end, len(in), len(f.Data), err, want)
					}
					return
				}
				clean += copy(in[clean:end-margin], poison)
			}
		})
	}
}

// TestLargeFrames checks how much memory and how many reads a frame larger than a slab costs.
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
			t.Errorf("%T: got %d bytes, error %v, want %d bytes", c.format, len(got.Data), err, len(want))
		}
		// Slabs double: the last one is smaller than twice the frame, and so are all others together.
		// The frame is copied out of it.
		if allocated > 5*largeSize+64<<10 {
			t.Errorf("%T: got %d bytes allocated for a frame of %d, want at most 5 times as many", c.format, allocated, largeSize)
		}
		if reads > 2*largeSize/piece {
			t.Errorf("%T: got %d reads, want at most %d", c.format, reads, 2*largeSize/piece)
		}
	}
}

// TestLargeSlabIsReleased reads small frames after a large one. They must not be in the rest of its
// slab, which any one of them would keep in memory.
func TestLargeSlabIsReleased(t *testing.T) {
	small := strings.Repeat(strings.Repeat("y", 999)+"\n", 2000)
	for size := 1 << 20; size < 4<<20; size += 768 << 10 {
		d := decode.NewReader(strings.NewReader(strings.Repeat("x", size)+"\n"+small), decode.NDJSON)
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
			t.Errorf("after a frame of %d bytes: got %d bytes of new memory for %d bytes of frames, want new memory for nearly all", size, allocated, len(small))
		}
	}
}

// TestFramesWithoutDataReuseMemory reads streams without data: one slab is enough.
func TestFramesWithoutDataReuseMemory(t *testing.T) {
	for name, c := range map[string]struct {
		format decode.Format
		filler string
	}{
		"empty lines":     {decode.NDJSON, "\n"},
		"comments":        {decode.SSE{}, ": nothing to say\n\n"},
		"unknown fields":  {decode.SSE{}, "what: ever\n"},
		"white space":     {decode.ConcatJSON, " \n"},
		"empty records":   {decode.JSONSeq, "\x1e"},
		"zero lengths":    {decode.Uint32Prefixed, "\x00\x00\x00\x00"},
		"oversize lines":  {decode.NDJSON, strings.Repeat("x", 5000) + "\n"},
		"oversize values": {decode.ConcatJSON, `"` + strings.Repeat("x", 5000) + `"`},
		"oversize blocks": {decode.SSE{}, "data: " + strings.Repeat("x", 5000) + "\n\n"},
		"junk":            {decode.JSONSeq, strings.Repeat("x", 5000)},
	} {
		const size = 1 << 20
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
					t.Fatalf("%s: got frame %+v, error %v, want keepalives", name, f, err)
				}
			}
		})
		if allocated > size/4 {
			t.Errorf("%s: got %d bytes allocated for %d bytes without data, want at most a quarter", name, allocated, size)
		}
	}
}

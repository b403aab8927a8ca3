package decode_test

import (
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

// TestSSEManyLines joins blocks of as many lines as are remembered, and one more or fewer.
func TestSSEManyLines(t *testing.T) {
	for _, n := range []int{1, 2, 255, 256, 257, 512, 513, 1000} {
		var in strings.Builder
		var lines []string
		for i := range n {
			line := strings.Repeat("x", i%3) // the first one is empty
			in.WriteString("data:" + line + "\n")
			lines = append(lines, line)
		}
		in.WriteString("\ndata: next\n\n")
		for size := range 3 {
			got, err := readAll(decode.NewReader(chunks(in.String(), size), decode.SSE{}))
			if err != nil || len(got) != 2 || string(got[0].Data) != strings.Join(lines, "\n") || string(got[1].Data) != "next" {
				t.Errorf("%d lines in pieces of %d: %d frames, %v", n, size, len(got), err)
			}
			if len(got[0].Data) != cap(got[0].Data) {
				t.Errorf("%d lines: appending to the data would overwrite others", n)
			}
		}
	}
}

// TestSSEManyLinesTakeTheirBytes reads the block with the most lines for its size.
func TestSSEManyLinesTakeTheirBytes(t *testing.T) {
	const size = 4 << 20
	in := strings.Repeat("data\n", size/5) + "\n"
	allocated := allocatedBy(func() {
		got, err := readAll(newReader(strings.NewReader(in), decode.SSE{}, size+2))
		if err != nil || len(got) != 1 || len(got[0].Data) != size/5-1 {
			t.Errorf("%d frames, %v", len(got), err)
		}
	})
	if allocated > 5*size {
		t.Errorf("%d bytes allocated for a block of %d", allocated, size)
	}
}

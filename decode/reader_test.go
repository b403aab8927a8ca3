package decode_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/steadfeed/steadfeed/decode"
)

// TestDataIsOwned keeps every frame of a long stream and overwrites every other one. The rest must
// not change.
func TestDataIsOwned(t *testing.T) {
	const n = 5000
	var sse, ndjson strings.Builder
	for i := range n {
		fmt.Fprintf(&sse, "id: %d\ndata: event %d%s\n\n%s", i, i, strings.Repeat("\ndata: more", i%4), strings.Repeat(":\n\n", 7*(i%3)))
		fmt.Fprintf(&ndjson, "%sevent %d%s\n%s\n", strings.Repeat("\n", i%50), i, strings.Repeat(" more", i%40), strings.Repeat("x", 201*(i%3)))
	}
	for name, c := range map[string]struct {
		format decode.Format
		in     string
		more   string
		mod    int
	}{"SSE": {decode.SSE{}, sse.String(), "\nmore", 4}, "NDJSON": {decode.NDJSON, ndjson.String(), " more", 40}} {
		for _, size := range []int{0, 1000} {
			d := newReader(chunks(c.in, size), c.format, 400)
			d.OnBadFrame = func(*decode.FrameError) {}
			got, err := readAll(d)
			got = slices.DeleteFunc(got, func(f decode.Frame) bool { return f.Data[0] == 'x' })
			if err != nil || len(got) != n {
				t.Fatalf("%s: got %d frames, error %v, want %d", name, len(got), err, n)
			}
			for i := 0; i < n; i += 2 {
				_ = append(got[i].Data, "overwritten?"...)
				clear(got[i].Data)
			}
			for i := 1; i < n; i += 2 {
				want := fmt.Sprintf("event %d%s", i, strings.Repeat(c.more, i%c.mod))
				if string(got[i].Data) != want || name == "SSE" && got[i].ID != fmt.Sprint(i) {
					t.Fatalf("%s: got frame %d %q with id %q, want %q", name, i, got[i].Data, got[i].ID, want)
				}
			}
		}
	}
}

// mixed returns lines of the sizes, each of one letter, n times.
func mixed(n int, sizes ...int) (in string, want []string) {
	for i := range n * len(sizes) {
		want = append(want, strings.Repeat(string(rune('a'+i%26)), sizes[i%len(sizes)]))
	}
	return strings.Join(want, "\n") + "\n", want
}

// TestLargeDataIsOwned is TestDataIsOwned for frames that are larger than a read.
func TestLargeDataIsOwned(t *testing.T) {
	for _, sizes := range [][]int{{60_000}, {100, 20_000, 100}, {16 << 10, 1, 300_000, 70_000, 5}, {16<<10 - 1, 64 << 10, 2}} {
		for _, chunk := range []int{1000, 32 << 10, 1 << 20} {
			in, want := mixed(20, sizes...)
			got, err := readAll(decode.NewReader(chunks(in, chunk), decode.NDJSON))
			if err != nil || len(got) != len(want) {
				t.Fatalf("%d in reads of %d: got %d frames, error %v, want %d", sizes, chunk, len(got), err, len(want))
			}
			for i := range got {
				if string(got[i].Data) != want[i] {
					t.Fatalf("%d in reads of %d: got frame %d of %d bytes that has changed", sizes, chunk, i, len(got[i].Data))
				}
				_ = append(got[i].Data, "overwritten?"...)
				clear(got[i].Data)
			}
		}
	}
}

func TestBuffered(t *testing.T) {
	reads := 0
	in := strings.NewReader("data: a\n\ndata: b\n\ndata: c")
	d := decode.NewReader(readerFunc(func(p []byte) (int, error) { reads++; return in.Read(p) }), decode.SSE{})
	if d.Buffered() || reads > 0 {
		t.Fatalf("before the first read: got Buffered true after %d reads, want false after 0", reads)
	}
	for i, buffered := range []bool{true, false} {
		if _, err := next(d); err != nil {
			t.Fatal(err)
		}
		if d.Buffered() != buffered || reads != 1 {
			t.Errorf("after frame %d: got Buffered %v after %d reads, want %v after 1", i, d.Buffered(), reads, buffered)
		}
	}
	if _, err := next(d); !errors.Is(err, io.ErrUnexpectedEOF) || !d.Buffered() {
		t.Errorf("at the end: got error %v, Buffered %v, want io.ErrUnexpectedEOF, true", err, d.Buffered())
	}
}

func TestReadsWithoutProgress(t *testing.T) {
	d := decode.NewReader(readerFunc(func([]byte) (int, error) { return 0, nil }), decode.SSE{})
	if _, err := next(d); err != io.ErrNoProgress {
		t.Errorf("Next = %v, want io.ErrNoProgress", err)
	}
}

func TestStreamError(t *testing.T) {
	broken := errors.New("connection reset")
	in := io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken))
	got, err := readAll(decode.NewReader(in, decode.SSE{}))
	if len(got) != 1 || err != broken {
		t.Errorf("got %d frames, error %v, want 1 frame", len(got), err)
	}
}

func TestOnBadFrame(t *testing.T) {
	long := strings.Repeat("x", 20)
	in := "1\n" + long + "\n2\n" + long + "\n" + long + "\n3\n"
	checkBad(t, decode.NDJSON, 8, in, []string{`"1"`, "2 too large", `"2"`, "25 too large", "46 too large", `"3"`})

	d := newReader(strings.NewReader(in), decode.NDJSON, 8)
	bad := 0
	d.OnBadFrame = func(e *decode.FrameError) {
		bad++
		if e.Format != "NDJSON" || e.Limit != 8 || !e.Resync {
			t.Errorf("got bad frame %#v, want a resync with limit 8", e)
		}
	}
	if f, err := next(d); err != nil || string(f.Data) != "1" || bad != 0 {
		t.Errorf("got frame %q, error %v, %d bad frames, want 1 without bad frames", f.Data, err, bad)
	}
	if !d.Buffered() || bad != 1 {
		t.Errorf("after the first frame: got %d bad frames, want 1", bad)
	}
	if _, err := readAll(d); err != nil || bad != 3 {
		t.Errorf("at the end: got %d bad frames, error %v, want 3", bad, err)
	}
}

// Without OnBadFrame, the first bad frame is the error of every Next.
func TestBadFrameIsFinal(t *testing.T) {
	d := newReader(strings.NewReader("123456789\n1\n"), decode.NDJSON, 8)
	for range 2 {
		if _, err := next(d); !errors.Is(err, decode.ErrTooLarge) {
			t.Errorf("got error %v, want ErrTooLarge", err)
		}
	}
}

// A burst enlarges the slabs, and a stream that is slow afterwards has small ones again.
func TestSlowStreamsHaveSmallSlabs(t *testing.T) {
	const burst, slow, event = 10_000, 1000, 400
	line := strings.Repeat("x", event-1) + "\n"
	rest := strings.Repeat(line, burst)
	most, last := 0, 0
	r := decode.NewReader(readerFunc(func(p []byte) (int, error) {
		if last = len(p); len(rest) == 0 {
			return copy(p, line), nil
		}
		most = max(most, last)
		n := copy(p, rest)
		rest = rest[n:]
		return n, nil
	}), decode.Lines)
	var f decode.Frame
	for i := range burst + slow {
		if err := r.Next(&f); err != nil || len(f.Data) != event-1 {
			t.Fatalf("event %d: got %d bytes, error %v, want %d", i, len(f.Data), err, event-1)
		}
		if i == 0 && last > 512 {
			t.Errorf("got %d bytes of room before the first event, want at most 512", last)
		}
	}
	if most < 32<<10 || last > 1<<10 {
		t.Errorf("got room for %d bytes during the burst and %d after it, want at least 32 KiB and at most 1 KiB", most, last)
	}
}

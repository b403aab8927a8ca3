package decode_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/steadfeed/steadfeed/decode"
)

// show writes a frame down for comparison.
func show(f decode.Frame) string {
	switch f.Kind {
	case decode.KindComment:
		return fmt.Sprintf("comment %q", f.Data)
	case decode.KindKeepalive:
		return "keepalive"
	case decode.KindPosition:
		return fmt.Sprintf("position %q", f.ID)
	case decode.KindRetry:
		return fmt.Sprintf("retry %v", f.Delay)
	case decode.KindInvalid:
		return "invalid: " + string(f.Data)
	}
	s := fmt.Sprintf("%q", f.Data)
	if f.Type != "" && f.Type != "message" {
		s += " type " + f.Type
	}
	if f.ID != "" {
		s += fmt.Sprintf(" id %q", f.ID)
	}
	if f.Truncated {
		s += " truncated"
	}
	return s
}

// newReader returns a Reader with the limit maxFrame.
func newReader(r io.Reader, f decode.Format, maxFrame int) *decode.Reader {
	d := decode.NewReader(r, f)
	d.MaxFrame = maxFrame
	return d
}

// next returns the next frame.
func next(d *decode.Reader) (f decode.Frame, err error) {
	err = d.Next(&f)
	return f, err
}

// frames reads r to its end. The end is part of the result unless it is io.EOF.
func frames(r io.Reader, f decode.Format, maxFrame int) (got []string) {
	d := newReader(r, f, maxFrame)
	for {
		frame, err := next(d)
		switch {
		case err == io.EOF:
			return got
		case errors.Is(err, io.ErrUnexpectedEOF):
			return append(got, "cut")
		case errors.Is(err, decode.ErrTooLarge):
			return append(got, "too large")
		case err != nil:
			return append(got, err.Error())
		}
		if len(frame.Data) != cap(frame.Data) {
			got = append(got, "appending to the data would overwrite others")
		}
		got = append(got, show(frame))
	}
}

// survivors is as frames, but passes over bad frames and says where they were.
func survivors(r io.Reader, f decode.Format, maxFrame int) (got []string) {
	d := newReader(r, f, maxFrame)
	bad := func(e *decode.FrameError) {
		what := e.Err.Error()
		switch {
		case errors.Is(e, decode.ErrTooLarge):
			what = "too large"
		case errors.Is(e, io.ErrUnexpectedEOF):
			what = "cut"
		}
		if !e.Resync && what != "cut" {
			what = "final: " + what
		}
		got = append(got, fmt.Sprintf("%d %s", e.Offset, what))
	}
	d.OnBadFrame = bad
	for {
		frame, err := next(d)
		if err != nil {
			if e, ok := err.(*decode.FrameError); ok {
				bad(e)
			} else if err != io.EOF {
				got = append(got, err.Error())
			}
			return got
		}
		got = append(got, show(frame))
	}
}

// chunks reads s in pieces of n bytes, or of random sizes when n is 0.
func chunks(s string, n int) io.Reader {
	rng := rand.New(rand.NewPCG(1, 2))
	return readerFunc(func(p []byte) (int, error) {
		if s == "" {
			return 0, io.EOF
		}
		size := n
		if n == 0 {
			size = 1 + rng.IntN(9)
		}
		got := copy(p[:min(size, len(p))], s)
		s = s[got:]
		return got, nil
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// check reads in, in pieces of every kind.
func check(t *testing.T, f decode.Format, maxFrame int, in string, want []string) {
	t.Helper()
	checkRead(t, frames, f, maxFrame, in, want)
}

// checkBad is as check, but passes over bad frames.
func checkBad(t *testing.T, f decode.Format, maxFrame int, in string, want []string) {
	t.Helper()
	checkRead(t, survivors, f, maxFrame, in, want)
}

func checkRead(t *testing.T, read func(io.Reader, decode.Format, int) []string, f decode.Format, maxFrame int, in string, want []string) {
	t.Helper()
	for n := range 4 {
		if got := read(chunks(in, n), f, maxFrame); !slices.Equal(got, want) {
			t.Errorf("%q in pieces of %d:\n got %q\nwant %q", in, n, got, want)
		}
	}
	if got := read(iotest.DataErrReader(strings.NewReader(in)), f, maxFrame); !slices.Equal(got, want) {
		t.Errorf("%q at once:\n got %q\nwant %q", in, got, want)
	}
}

// checkAtOnce holds that the one frame of in is there at the last byte, not at one after it.
func checkAtOnce(t *testing.T, f decode.Format, in, want string) {
	t.Helper()
	silence := errors.New("silence")
	got, err := readAll(decode.NewReader(io.MultiReader(chunks(in, 1), iotest.ErrReader(silence)), f))
	if err != silence || len(got) != 1 || string(got[0].Data) != want {
		t.Errorf("%q: %d frames, %v", in, len(got), err)
	}
}

func readAll(d *decode.Reader) (got []decode.Frame, err error) {
	for f, err := range d.Frames() {
		if err != nil {
			return got, err
		}
		got = append(got, f)
	}
	return got, nil
}

// TestByteOrderMark begins each stream of text with a byte order mark: it is no part of the first
// frame, and only the first one is skipped.
func TestByteOrderMark(t *testing.T) {
	any, _ := decode.Auto("application/json")
	for _, c := range []struct {
		format decode.Format
		in     string
		want   []string
		second string
	}{
		{decode.SSE{}, "data: 1\n\n", []string{`"1"`}, "keepalive"}, // an unknown field
		{decode.Lines{}, "1\n2\n", []string{`"1"`, `"2"`}, `"\ufeff1"`},
		{decode.NDJSON{}, "{}\n[]\n", []string{`"{}"`, `"[]"`}, `"\ufeff{}"`},
		{decode.RSJSON{}, "{}\x1e", []string{`"{}"`}, `"\ufeff{}"`},
		{decode.CRLFJSON{}, "{}\r\n[]\r\n", []string{`"{}"`, `"[]"`}, `"\ufeff{}"`},
		{decode.LengthPrefixed{}, "2\n{}\n", []string{`"{}"`}, "3 final: does not begin with a length"},
		{decode.JSONSeq{}, "\x1e{}\n", []string{`"{}"`}, "3 not preceded by a record separator"},
		{decode.ConcatJSON{}, "{}[]", []string{`"{}"`, `"[]"`}, "3 final: invalid character 'ï' looking for beginning of value"},
		{decode.JSONArray{}, "[{}]", []string{`"{}"`}, "3 final: 'ï' does not start an array"},
		{any, "[{}]", []string{`"{}"`}, "3 final: invalid character 'ï' looking for beginning of value"},
		{any, "{}", []string{`"{}"`}, "3 final: invalid character 'ï' looking for beginning of value"},
		{decode.Uint32Prefixed{}, "", []string{"0 cut"}, "0 too large"},
	} {
		checkBad(t, c.format, 16, "\ufeff"+c.in, c.want)
		if got := survivors(strings.NewReader("\ufeff\ufeff"+c.in), c.format, 16); len(got) == 0 || got[0] != c.second {
			t.Errorf("%T, a second mark: %q, want %q first", c.format, got, c.second)
		}
	}
}

// TestDataIsOwned keeps every frame of a long stream and changes some: none of the
// others may change with it, whatever comes between them.
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
	}{"SSE": {decode.SSE{}, sse.String(), "\nmore", 4}, "NDJSON": {decode.NDJSON{}, ndjson.String(), " more", 40}} {
		for _, size := range []int{0, 1000} {
			d := newReader(chunks(c.in, size), c.format, 400)
			d.OnBadFrame = func(*decode.FrameError) {}
			got, err := readAll(d)
			got = slices.DeleteFunc(got, func(f decode.Frame) bool { return f.Data[0] == 'x' })
			if err != nil || len(got) != n {
				t.Fatalf("%s: %d frames, %v", name, len(got), err)
			}
			for i := 0; i < n; i += 2 {
				_ = append(got[i].Data, "overwritten?"...)
				clear(got[i].Data)
			}
			for i := 1; i < n; i += 2 {
				want := fmt.Sprintf("event %d%s", i, strings.Repeat(c.more, i%c.mod))
				if string(got[i].Data) != want || name == "SSE" && got[i].ID != fmt.Sprint(i) {
					t.Fatalf("%s: frame %d is %q, id %q", name, i, got[i].Data, got[i].ID)
				}
			}
		}
	}
}

func TestBuffered(t *testing.T) {
	reads := 0
	in := strings.NewReader("data: a\n\ndata: b\n\ndata: c")
	d := decode.NewReader(readerFunc(func(p []byte) (int, error) { reads++; return in.Read(p) }), decode.SSE{})
	if d.Buffered() || reads > 0 {
		t.Fatal("there is something to read before anything was read")
	}
	for i, buffered := range []bool{true, false} {
		if _, err := next(d); err != nil {
			t.Fatal(err)
		}
		if d.Buffered() != buffered || reads != 1 {
			t.Errorf("after frame %d: Buffered %v, %d reads", i, d.Buffered(), reads)
		}
	}
	if _, err := next(d); !errors.Is(err, io.ErrUnexpectedEOF) || !d.Buffered() {
		t.Errorf("at the end: %v, Buffered %v", err, d.Buffered())
	}
}

func TestReaderThatBringsNothing(t *testing.T) {
	d := decode.NewReader(readerFunc(func([]byte) (int, error) { return 0, nil }), decode.SSE{})
	if _, err := next(d); err != io.ErrNoProgress {
		t.Errorf("Next: %v", err)
	}
}

func TestErrorOfTheStream(t *testing.T) {
	broken := errors.New("connection reset")
	in := io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken))
	got, err := readAll(decode.NewReader(in, decode.SSE{}))
	if len(got) != 1 || err != broken {
		t.Errorf("%d frames, %v", len(got), err)
	}
}

func TestOnBadFrame(t *testing.T) {
	long := strings.Repeat("x", 20)
	in := "1\n" + long + "\n2\n" + long + "\n" + long + "\n3\n"
	checkBad(t, decode.NDJSON{}, 8, in, []string{`"1"`, "2 too large", `"2"`, "25 too large", "46 too large", `"3"`})

	d := newReader(strings.NewReader(in), decode.NDJSON{}, 8)
	bad := 0
	d.OnBadFrame = func(e *decode.FrameError) {
		bad++
		if e.Format != "NDJSON" || e.Limit != 8 || !e.Resync {
			t.Errorf("bad frame: %#v", e)
		}
	}
	if f, err := next(d); err != nil || string(f.Data) != "1" || bad != 0 {
		t.Errorf("%q, %v with %d bad frames", f.Data, err, bad)
	}
	if !d.Buffered() || bad != 1 {
		t.Errorf("behind the first frame: %d bad frames", bad)
	}
	if _, err := readAll(d); err != nil || bad != 3 {
		t.Errorf("at the end: %d bad frames, %v", bad, err)
	}
}

// TestBadFramesStop holds the default, and that it is final.
func TestBadFramesStop(t *testing.T) {
	d := newReader(strings.NewReader("123456789\n1\n"), decode.NDJSON{}, 8)
	for range 2 {
		if _, err := next(d); !errors.Is(err, decode.ErrTooLarge) {
			t.Errorf("error %v", err)
		}
	}
}

// allocatedBy returns how many bytes f allocates.
func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

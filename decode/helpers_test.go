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

// show formats a frame for comparison.
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
			got = append(got, "Data with spare capacity")
		}
		got = append(got, show(frame))
	}
}

// survivors is like frames, but skips bad frames and reports where they were.
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

// check reads in, split in several ways, and compares the frames.
func check(t *testing.T, f decode.Format, maxFrame int, in string, want []string) {
	t.Helper()
	checkRead(t, frames, f, maxFrame, in, want)
}

// checkBad is like check, but skips bad frames.
func checkBad(t *testing.T, f decode.Format, maxFrame int, in string, want []string) {
	t.Helper()
	checkRead(t, survivors, f, maxFrame, in, want)
}

func checkRead(t *testing.T, read func(io.Reader, decode.Format, int) []string, f decode.Format, maxFrame int, in string, want []string) {
	t.Helper()
	for n := range 4 {
		if got := read(chunks(in, n), f, maxFrame); !slices.Equal(got, want) {
			t.Errorf("%q in pieces of %d bytes:\n got %q\nwant %q", in, n, got, want)
		}
	}
	if got := read(iotest.DataErrReader(strings.NewReader(in)), f, maxFrame); !slices.Equal(got, want) {
		t.Errorf("%q in one read:\n got %q\nwant %q", in, got, want)
	}
}

// checkAtOnce checks that the one frame of in is delivered at its last byte, without a byte after it.
func checkAtOnce(t *testing.T, f decode.Format, in, want string) {
	t.Helper()
	silence := errors.New("silence")
	got, err := readAll(decode.NewReader(io.MultiReader(chunks(in, 1), iotest.ErrReader(silence)), f))
	if err != silence || len(got) != 1 || string(got[0].Data) != want {
		t.Errorf("%q: got %d frames, error %v, want the frame %q", in, len(got), err, want)
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

// allocatedBy returns how many bytes f allocates.
func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

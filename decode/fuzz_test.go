package decode_test

import (
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

func FuzzSSE(f *testing.F) {
	fuzz(f, decode.SSE{Comments: true}, "data: a\n\n", "id\rdata: a\r\rdata\r\n\r\n",
		"\ufeff: c\nid: 1\n\nretry: 10\ndata: x\ndata: y\n\n", "data: "+strings.Repeat("x", 80)+"\n\ndata: y\n\n")
}

func FuzzLines(f *testing.F) {
	fuzz(f, decode.Lines, "a\nb\r\n\n\r\r\nc", strings.Repeat("x", 80)+"\r\ny\n")
}

func FuzzNDJSON(f *testing.F) {
	fuzz(f, decode.NDJSON, "{\"a\":1}\n[2]\r\n\n3\n\"x\"", strings.Repeat("1", 80)+"\n[2]", strings.Repeat("[", 64))
}

func FuzzCRLFJSON(f *testing.F) {
	fuzz(f, decode.CRLFJSON, "{}\r\n\n{\n}\r\n\r\n  \r1\r\r\n", strings.Repeat("x", 80)+"\n\r\r\n{}\r\n")
}

func FuzzLengthPrefixed(f *testing.F) {
	fuzz(f, decode.LengthPrefixed, "4\r\n{}\r\n\r\n2\n{}\r\n0\n", "80\n"+strings.Repeat("x", 80)+"\n2\n{}", "99999999999999999999\n")
}

func FuzzUint32Prefixed(f *testing.F) {
	fuzz(f, decode.Uint32Prefixed, "\x00\x00\x00\x02{}\x00\x00\x00\x00", "\x00\x00\x00\x50"+strings.Repeat("x", 80)+"\x00\x00\x00\x01a")
}

func FuzzVarintPrefixed(f *testing.F) {
	fuzz(f, decode.VarintPrefixed, "\x02{}\x00\x81\x00a", "\x80\x01"+strings.Repeat("x", 128)+"\x01a")
}

func FuzzJSONSeq(f *testing.F) {
	fuzz(f, decode.JSONSeq, "\x1e{\"a\":[1]}\n\x1e42\n\x1e\x1etrue\x1e\"\\\"\"{}\n\x1e[]\n\x1e1", "\x1e["+strings.Repeat("1,", 40)+"]\n\x1e1\n")
}

func FuzzRSJSON(f *testing.F) {
	fuzz(f, decode.RSJSON, "{}\x1e{\"type\":6}\r\x1e\x1e\n[1]", strings.Repeat("x", 80)+"\r\x1e[2]\x1e")
}

func FuzzConcatJSON(f *testing.F) {
	fuzz(f, decode.ConcatJSON, "{\"a\":[\"]\\\\\\\"\"]}\n\n[]1true \"x\"-2", "{\"a\":\""+strings.Repeat("\\\"", 40)+"\"}[]", strings.Repeat("1", 80)+"[]")
}

func FuzzJSONArray(f *testing.F) {
	fuzz(f, decode.JSONArray, "\n[{\"a\":[\"]\\\\\\\"\"]}\n, \n\n[],1,true ]\n", "[[\""+strings.Repeat("\\\"", 40)+"\"],1,[]]", "["+strings.Repeat("1", 80)+",1]")
}

func FuzzAutoJSON(f *testing.F) {
	any, _ := decode.Auto("application/json")
	fuzz(f, any, "\n {}\n\n[]", "\r\n[{},1,\n\n[]]")
}

// fuzz checks that a framing follows the rules of a Splitter: the frames do not depend on how the
// stream is split into reads, and it neither hangs nor keeps more than a frame.
func fuzz(f *testing.F, format decode.Format, seeds ...string) {
	for _, s := range seeds {
		f.Add(s, byte(3))
	}
	f.Fuzz(func(t *testing.T, in string, piece byte) {
		const limit = 64
		w := watched{format, t}
		for _, read := range []func(io.Reader, decode.Format, int) []string{frames, survivors} {
			whole := read(strings.NewReader(in), w, limit)
			for _, n := range []int{1, int(piece%32) + 1} {
				if got := read(chunks(in, n), w, limit); !slices.Equal(got, whole) {
					t.Errorf("%q in pieces of %d:\n got %q\nwhole %q", in, n, got, whole)
				}
			}
		}
	})
}

// watched is a framing whose splitters check each result.
type watched struct {
	decode.Format
	t *testing.T
}

func (w watched) NewSplitter(maxFrame int) decode.Splitter {
	return &watchedSplitter{Splitter: w.Format.NewSplitter(maxFrame), t: w.t, limit: maxFrame}
}

type watchedSplitter struct {
	decode.Splitter
	t     *testing.T
	limit int
	still int // calls in a row with a result that consumed nothing
}

// overhead is the number of bytes that a splitter may keep besides the frame: the end of a line, a
// length, a line of fields whose block may be too large.
const overhead = 24

func (w *watchedSplitter) Split(f *decode.Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	n, ok, err = w.Splitter.Split(f, buf, atEOF)
	if w.still++; n > 0 || !ok && err == nil {
		w.still = 0
	}
	switch {
	case n < 0 || n > len(buf):
		w.t.Fatalf("Split: got %d bytes consumed of %d", n, len(buf))
	case !ok && !reflect.ValueOf(*f).IsZero():
		w.t.Fatalf("Split: got %+v without a frame, want the zero Frame", *f)
	case err != nil:
		if _, is := err.(*decode.FrameError); !is || ok {
			w.t.Fatalf("got error %T with ok %t, want a *FrameError without a frame", err, ok)
		}
	case ok:
		if len(f.Data) > w.limit && f.Kind == decode.KindData {
			w.t.Fatalf("got a frame of %d bytes, want at most %d", len(f.Data), w.limit)
		}
	case n == 0 && len(buf) > w.limit+overhead:
		w.t.Fatalf("Split keeps %d bytes, want at most %d", len(buf), w.limit+overhead)
	}
	if w.still > 2+len(buf) { // SSE has a result for each comment in a block, and keeps the block
		w.t.Fatalf("Split: got no progress with %q", buf)
	}
	return n, ok, err
}

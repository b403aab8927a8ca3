package decode_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// show writes a frame down for comparison.
func show(f decode.Frame) string {
	switch f.Kind {
	case decode.Comment:
		return fmt.Sprintf("comment %q", f.Data)
	case decode.Keepalive:
		return "keepalive"
	case decode.Position:
		return fmt.Sprintf("position %q", f.ID)
	case decode.Retry:
		return fmt.Sprintf("retry %v", f.Delay)
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

// frames reads r to its end. The end is part of the result unless it is io.EOF.
func frames(r io.Reader, f decode.Format, maxFrame int) (got []string) {
	d := decode.NewReader(r, f, maxFrame)
	for {
		frame, err := d.Next()
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

func check(t *testing.T, f decode.Format, maxFrame int, in string, want []string) {
	t.Helper()
	for n := range 4 {
		if got := frames(chunks(in, n), f, maxFrame); !slices.Equal(got, want) {
			t.Errorf("%q in pieces of %d:\n got %q\nwant %q", in, n, got, want)
		}
	}
	if got := frames(iotest.DataErrReader(strings.NewReader(in)), f, maxFrame); !slices.Equal(got, want) {
		t.Errorf("%q at once:\n got %q\nwant %q", in, got, want)
	}
}

func TestSSE(t *testing.T) {
	cases := []struct {
		name, in string
		want     []string
	}{
		{"an event", "data: a\n\n", []string{`"a"`}},
		{"all fields", "event: e\nid: 1\ndata: a\n\n", []string{`"a" type e id "1"`}},
		{"line ends", "data: a\r\n\r\ndata: b\r\rdata: c\n\n", []string{`"a"`, `"b"`, `"c"`}},
		{"mixed line ends", "data: a\r\ndata: b\rdata: c\n\r\n", []string{`"a\nb\nc"`}},
		{"byte order mark", "\ufeffdata: a\n\n", []string{`"a"`}},
		{"second byte order mark", "\ufeff\ufeffdata: a\n\n", []string{`keepalive`}},
		{"byte order mark in data", "data: \ufeffa\n\n", []string{`"\ufeffa"`}},
		{"several lines", "data: a\ndata:\ndata: b\n\n", []string{`"a\n\nb"`}},
		{"empty data", "data:\n\ndata\n\n", []string{`""`, `""`}},
		{"two empty lines of data", "data\ndata\n\n", []string{`"\n"`}},
		{"one space", "data:  a \n\ndata:b\n\n", []string{`" a "`, `"b"`}},
		{"colon in value", "data: a:b\n\n", []string{`"a:b"`}},
		{"comments", ": hello\n\n:\ndata: a\n: in between\n\n", []string{"keepalive", "keepalive", "keepalive", "keepalive", `"a"`}},
		{"unknown fields", "foo: bar\nfoo\n data: x\nData: y\ndata\x00: z\n\ndata: a\n\n", []string{"keepalive", `"a"`}},
		{"id without data", "id: 7\n\n", []string{`position "7"`}},
		{"id without data, type does not stay", "event: e\nid: 7\n\ndata: a\n\n", []string{`position "7"`, `"a"`}},
		{"type without data does not stay", "event: e\n\ndata: a\n\n", []string{"keepalive", `"a"`}},
		{"id reset", "id\ndata: a\n\nid:\n\n", []string{`position ""`, `"a"`, `position ""`}},
		{"id reset, bare CR", "id\rdata: a\r\rdata: b\r\r", []string{`position ""`, `"a"`, `"b"`}},
		{"last id counts", "id: 1\nid: 2\ndata: a\n\n", []string{`"a" id "2"`}},
		{"id with NUL", "id: 1\nid: a\x00b\ndata: a\n\n", []string{`"a" id "1"`}},
		{"unicode id", "id: \u2026\ndata: a\n\n", []string{`"a" id "…"`}},
		{"retry", "retry: 1500\n", []string{"retry 1.5s"}},
		{"retry in a block", "data: a\nretry: 3000\ndata: b\n\n", []string{"retry 3s", `"a\nb"`}},
		{"bad retries", "retry:3000\nretry:1000x\nretry:\nretry: -5\nretry: +5\nretry:  5\nretry\n\ndata: a\n\n",
			[]string{"retry 3s", "keepalive", `"a"`}},
		{"huge retry", "retry: 9999999999999999999\n", []string{"retry " + time.Duration(math.MaxInt64).String()}},
		{"cut in a block", "data: a\n\nid: 9\ndata: b\n", []string{`"a"`, "cut"}},
		{"cut in a line", "data: a\n\nid: 9", []string{`"a"`, "cut"}},
		{"cut in a character", "data: \xe2\x80", []string{"cut"}},
		{"end after an unknown field", "foo: bar\n", nil},
		{"nothing", "", nil},
		{"half a byte order mark", "\xef\xbb", []string{"cut"}},
		{"invalid UTF-8 stays", "data: \xff\n\n", []string{`"\xff"`}},
		{"only empty lines", "\n\r\n\r", []string{"keepalive", "keepalive", "keepalive"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { check(t, decode.SSE{}, 0, c.in, c.want) })
	}
}

func TestSSEComments(t *testing.T) {
	check(t, decode.SSE{Comments: true}, 0, ": a\n\n:b\r\ndata: x\n:  c\n\n",
		[]string{`comment " a"`, "keepalive", `comment "b"`, `comment "  c"`, `"x"`})
}

// TestSSEAtOnce feeds one byte at a time and looks when the frame is there: at its last
// byte, not at the one after it.
func TestSSEAtOnce(t *testing.T) {
	for _, in := range []string{"data: a\n\n", "data: a\r\n\r", "data: a\r\r"} {
		r, w := io.Pipe()
		d := decode.NewReader(r, decode.SSE{}, 0)
		go w.Write([]byte(in)) // and then silence
		if f, err := d.Next(); err != nil || string(f.Data) != "a" {
			t.Errorf("%q: %v, %v", in, f, err)
		}
		r.Close()
	}
}

func TestSSELimit(t *testing.T) {
	for _, size := range []int{90, 91, 92, 93, 94, 95, 1000, 100_000} {
		in := "data: a\n\nid: 1\ndata: " + strings.Repeat("x", size-len("id: 1\ndata: \n\n")) + "\n\ndata: b\n\n"
		want := []string{`"a"`, "too large"}
		if size <= 92 {
			want = []string{`"a"`, fmt.Sprintf("%q id \"1\"", strings.Repeat("x", size-14)), `"b"`}
		}
		check(t, decode.SSE{}, 92, in, want)
	}
	_, err := readAll(decode.NewReader(strings.NewReader("data: a\n\ndata: "+strings.Repeat("x", 100)), decode.SSE{}, 50))
	var fe *decode.FrameError
	if !errors.As(err, &fe) || fe.Limit != 50 || fe.Offset != 9 || !fe.Resync || fe.Retryable() || !strings.Contains(err.Error(), "MaxFrame") {
		t.Errorf("oversize frame: %#v", err)
	}
}

// TestSSEGoesOn calls the splitter again after an oversize frame: the next event is there.
func TestSSEGoesOn(t *testing.T) {
	in := "data: " + strings.Repeat("x", 100) + "\ndata: y\n\ndata: a\r\n\r\ndata: " + strings.Repeat("x", 100) + "\r\rdata: b\n\n"
	for size := 1; size < 30; size++ {
		s := decode.SSE{}.NewSplitter(50)
		var got []string
		for from, to := 0, 0; to < len(in); {
			to = min(to+size, len(in))
			for {
				n, f, ok, err := s.Split([]byte(in[from:to]), to == len(in))
				from += n
				if err != nil {
					got = append(got, "too large")
				}
				if ok && f.Kind == decode.Data {
					got = append(got, string(f.Data))
				}
				if n == 0 && !ok && err == nil {
					break
				}
			}
		}
		if !slices.Equal(got, []string{"too large", "a", "too large", "b"}) {
			t.Errorf("in pieces of %d: %q", size, got)
		}
	}
}

func TestNDJSON(t *testing.T) {
	cases := []struct {
		name, in string
		want     []string
	}{
		{"lines", "{\"a\":1}\n[2]\r\n3\n", []string{`"{\"a\":1}"`, `"[2]"`, `"3"`}},
		{"empty lines", "\n\r\n1\n", []string{"keepalive", "keepalive", `"1"`}},
		{"CR inside", "a\rb\n", []string{`"a\rb"`}},
		{"not JSON", "oops\n{}\n", []string{`"oops"`, `"{}"`}},
		{"last object", "1\n{\"a\":1}", []string{`"1"`, `"{\"a\":1}" truncated`}},
		{"last array", "[1]\r", []string{`"[1]" truncated`}},
		{"last string", `"a"`, []string{`"\"a\"" truncated`}},
		{"last number may be cut", "1\n42", []string{`"1"`, "cut"}},
		{"last literal may be cut", "true", []string{"cut"}},
		{"last object is cut", `{"a":`, []string{"cut"}},
		{"last CR", "1\n\r", []string{`"1"`, "cut"}},
		{"nothing", "", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { check(t, decode.NDJSON{}, 0, c.in, c.want) })
	}
	t.Run("limit", func(t *testing.T) {
		check(t, decode.NDJSON{}, 4, "1234\n1234\r\n12345\n1\n", []string{`"1234"`, `"1234"`, "too large"})
		check(t, decode.NDJSON{}, 4, strings.Repeat("x", 1000), []string{"too large"})
		check(t, decode.NDJSON{}, -1, strings.Repeat("x", 1000)+"\n", []string{fmt.Sprintf("%q", strings.Repeat("x", 1000))})
	})
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

// TestDataIsOwned keeps every frame of a long stream and changes some: none of the
// others may change with it.
func TestDataIsOwned(t *testing.T) {
	const n = 5000
	var in strings.Builder
	for i := range n {
		fmt.Fprintf(&in, "id: %d\ndata: event %d%s\n\n", i, i, strings.Repeat("\ndata: more", i%4))
	}
	got, err := readAll(decode.NewReader(chunks(in.String(), 0), decode.SSE{}, 0))
	if err != nil || len(got) != n {
		t.Fatalf("%d frames, %v", len(got), err)
	}
	for i := 0; i < n; i += 2 {
		_ = append(got[i].Data, "overwritten?"...)
		clear(got[i].Data)
	}
	for i := 1; i < n; i += 2 {
		want := fmt.Sprintf("event %d%s", i, strings.Repeat("\nmore", i%4))
		if string(got[i].Data) != want || got[i].ID != fmt.Sprint(i) {
			t.Fatalf("frame %d is %q, id %q", i, got[i].Data, got[i].ID)
		}
	}
}

func TestLargeFrames(t *testing.T) {
	for _, size := range []int{70 << 10, 10 << 20} {
		big := strings.Repeat("x", size)
		for name, in := range map[string]string{"SSE": "data: " + big + "\n\n", "NDJSON": big + "\n"} {
			var f decode.Format = decode.SSE{}
			if name == "NDJSON" {
				f = decode.NDJSON{}
			}
			got, err := readAll(decode.NewReader(chunks(in, 1024), f, 0))
			if err != nil || len(got) != 1 || string(got[0].Data) != big {
				t.Errorf("%s of %d bytes: %d frames, %v", name, size, len(got), err)
			}
		}
	}
}

func TestBuffered(t *testing.T) {
	reads := 0
	in := strings.NewReader("data: a\n\ndata: b\n\ndata: c")
	d := decode.NewReader(readerFunc(func(p []byte) (int, error) { reads++; return in.Read(p) }), decode.SSE{}, 0)
	if d.Buffered() || reads > 0 {
		t.Fatal("there is something to read before anything was read")
	}
	for i, buffered := range []bool{true, false} {
		if _, err := d.Next(); err != nil {
			t.Fatal(err)
		}
		if d.Buffered() != buffered || reads != 1 {
			t.Errorf("after frame %d: Buffered %v, %d reads", i, d.Buffered(), reads)
		}
	}
	if _, err := d.Next(); !errors.Is(err, io.ErrUnexpectedEOF) || !d.Buffered() {
		t.Errorf("at the end: %v, Buffered %v", err, d.Buffered())
	}
}

func TestErrorOfTheStream(t *testing.T) {
	broken := errors.New("connection reset")
	in := io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken))
	got, err := readAll(decode.NewReader(in, decode.SSE{}, 0))
	if len(got) != 1 || err != broken {
		t.Errorf("%d frames, %v", len(got), err)
	}
}

func TestAuto(t *testing.T) {
	for contentType, want := range map[string]decode.Format{
		"text/event-stream":                       decode.SSE{},
		"Text/Event-Stream; charset=windows-1252": decode.SSE{},
		"text/event-stream;;; =broken":            decode.SSE{},
		"application/x-ndjson":                    decode.NDJSON{},
		" application/jsonl ;charset=utf-8":       decode.NDJSON{},
		"application/json":                        nil,
		"text/html":                               nil,
		"":                                        nil,
	} {
		got, ok := decode.Auto(contentType)
		if got != want || ok != (want != nil) {
			t.Errorf("%q: %T", contentType, got)
		}
	}
}

func TestField(t *testing.T) {
	for _, c := range []struct{ path, in, want string }{
		{"data.id", `{"data":{"id":"7"}}`, "7"},
		{"seq", `{"seq":[3,"x"]}`, `[3,"x"]`},
		{"n", `{"n":1234567890123456789}`, "1234567890123456789"},
		{"n", `{"n":null}`, ""},
		{"n", `{}`, ""},
		{"n", `{"n":1`, ""},
		{"n", `{"n":1}}`, ""},
		{"n", ``, ""},
	} {
		if got := decode.Field(c.path)([]byte(c.in)); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.path, c.in, got, c.want)
		}
	}
}

func FuzzSSE(f *testing.F) { fuzz(f, decode.SSE{}) }

func FuzzNDJSON(f *testing.F) { fuzz(f, decode.NDJSON{}) }

// fuzz holds a framing to the rule that the pieces in which a stream arrives mean nothing.
func fuzz(f *testing.F, format decode.Format) {
	for _, s := range []string{
		"data: a\n\n", "id\rdata: a\r\rdata\r\n\r\n", "\ufeff: c\nid: 1\n\nretry: 10\ndata: x\ndata: y\n\n",
		"{\"a\":1}\n[2]\r\n\n3\n\"x\"", "data: " + strings.Repeat("x", 80) + "\n\n",
	} {
		f.Add(s, byte(3))
	}
	f.Fuzz(func(t *testing.T, in string, piece byte) {
		whole := frames(strings.NewReader(in), format, 64)
		for _, n := range []int{1, int(piece%32) + 1} {
			if got := frames(chunks(in, n), format, 64); !slices.Equal(got, whole) {
				t.Errorf("%q in pieces of %d:\n got %q\nwhole %q", in, n, got, whole)
			}
		}
	})
}

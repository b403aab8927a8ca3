package decode_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

func TestSSE(t *testing.T) {
	const ignored = "invalid: the id contains control bytes and is ignored"
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
		{"id with NUL", "id: 1\nid: a\x00b\ndata: a\n\n", []string{ignored, `"a" id "1"`}},
		{"id with a control byte", "data: a\nid: 12345678\x1f\n\nid: \x01\n\nid: \x7f2345678\ndata: b\n\n",
			[]string{ignored, `"a"`, ignored, "keepalive", ignored, `"b"`}},
		{"id with a tab", "id: a\t234567890\ndata: a\n\n", []string{`"a" id "a\t234567890"`}},
		{"id of eight bits", "id: \x80\xff345678\xc2\x85\ndata: a\n\n", []string{`"a" id "\x80\xff345678\u0085"`}},
		{"unicode id", "id: \u2026\ndata: a\n\n", []string{`"a" id "…"`}},
		{"retry", "retry: 1500\n", []string{"retry 1.5s"}},
		{"retry in a block", "data: a\nretry: 3000\ndata: b\n\n", []string{"retry 3s", `"a\nb"`}},
		{"bad retries", "retry:3000\nretry:1000x\nretry:\nretry: -5\nretry: +5\nretry:  5\nretry\n\ndata: a\n\n",
			[]string{"retry 3s", "keepalive", `"a"`}},
		{"retry at once", "retry: 0\nretry:000\n", []string{"retry 0s", "retry 0s"}},
		{"huge retry", "retry: 9999999999999999999\n", []string{"retry " + time.Duration(math.MaxInt64).String()}},
		{"cut in a block", "data: a\n\nid: 9\ndata: b\n", []string{`"a"`, "cut"}},
		{"cut in a line", "data: a\n\nid: 9", []string{`"a"`, "cut"}},
		{"cut in a character", "data: \xe2\x80", []string{"cut"}},
		{"unknown field at the end", "foo: bar\n", nil},
		{"empty", "", nil},
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

func TestSSEDeliversAtLastByte(t *testing.T) {
	for _, in := range []string{"data: a\n\n", "data: a\r\n\r", "data: a\r\r"} {
		checkAtOnce(t, decode.SSE{}, in, "a")
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
	_, err := readAll(newReader(strings.NewReader("data: a\n\ndata: "+strings.Repeat("x", 100)), decode.SSE{}, 50))
	var fe *decode.FrameError
	if !errors.As(err, &fe) || fe.Limit != 50 || fe.Offset != 9 || !fe.Resync || fe.Retryable() || !strings.Contains(err.Error(), "MaxFrame") {
		t.Errorf("got error %#v, want ErrTooLarge at byte 9 with limit 50", err)
	}
}

func TestSSEContinuesAfterOversizeBlock(t *testing.T) {
	long := strings.Repeat("x", 100)
	checkBad(t, decode.SSE{}, 50, "data: "+long+"\ndata: y\n\ndata: a\r\n\r\ndata: "+long+"\r\rdata: b\n\n",
		[]string{"0 too large", `"a"`, "127 too large", `"b"`})
	// The empty line makes the block too large, and ends it.
	checkBad(t, decode.SSE{}, 50, "data: "+long[:43]+"\n\ndata: a\n\n", []string{"0 too large", `"a"`})
	checkBad(t, decode.SSE{}, 50, "data: a\n\nid: 7\ndata: "+long+"\ndata: more\n", []string{`"a"`, "9 too large", "9 cut"})
	checkBad(t, decode.SSE{}, 50, "data: a\n\n"+"data: "+long+"\r\nid: 7\r\ndata: more", []string{`"a"`, "9 too large", "9 cut"})
}

// TestSSEManyLines joins blocks with about as many lines as a splitter remembers.
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
				t.Errorf("%d lines in pieces of %d bytes: got %d frames, error %v, want 2 frames", n, size, len(got), err)
			}
			if len(got[0].Data) != cap(got[0].Data) {
				t.Errorf("%d lines: got Data with spare capacity, want none", n)
			}
		}
	}
}

// TestSSEManyLinesMemory reads a block with the most lines for its size.
func TestSSEManyLinesMemory(t *testing.T) {
	const size = 4 << 20
	in := strings.Repeat("data\n", size/5) + "\n"
	allocated := allocatedBy(func() {
		got, err := readAll(newReader(strings.NewReader(in), decode.SSE{}, size+2))
		if err != nil || len(got) != 1 || len(got[0].Data) != size/5-1 {
			t.Errorf("got %d frames, error %v, want 1 frame", len(got), err)
		}
	})
	if allocated > 5*size {
		t.Errorf("got %d bytes allocated for a block of %d, want at most 5 times as many", allocated, size)
	}
}

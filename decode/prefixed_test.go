package decode_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

func TestLengthPrefixed(t *testing.T) {
	const notLength = "does not begin with a length"
	const tooShort = "the frame before it is longer than announced"
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"CRLF counted", "4\r\n{}\r\n5\r\n[1]\r\n", []string{`"{}"`, `"[1]"`}},
		{"CRLF not counted", "2\r\n{}\r\n3\r\n[1]\r\n", []string{`"{}"`, `"[1]"`}},
		{"LF counted or not", "3\n{}\n2\n{}\n2\n[]", []string{`"{}"`, `"{}"`, `"[]"`}},
		{"keepalives", "\r\n\n4\n{}\r\n\r\n\n2\n{}\r\n\r\n", []string{
			"keepalive", "keepalive", `"{}"`, "keepalive", "keepalive", `"{}"`, "keepalive"}},
		{"zero", "0\n2\n{}\n", []string{"keepalive", `"{}"`}},
		{"only a line end", "2\n\r\n2\n{}", []string{"keepalive", `"{}"`}},
		{"line ends inside", "7\na\r\nb\nc\n2\n{}", []string{`"a\r\nb\nc"`, `"{}"`}},
		{"leading zeros", "0002\n{}", []string{`"{}"`}},
		{"sign", "+2\n{}", []string{"0 final: " + notLength}},
		{"negative", "-2\n{}", []string{"0 final: " + notLength}},
		{"space", "2 \n{}", []string{"0 final: " + notLength}},
		{"no digits", "{}\n", []string{"0 final: " + notLength}},
		{"no length, before there is a line end", "oops", []string{"0 final: " + notLength}},
		{"too many digits", "00000000000000000002\n{}", []string{"0 final: " + notLength}},
		{"digits without end", strings.Repeat("1", 100), []string{"0 final: " + notLength}},
		{"announced too short", "2\n{}3\n123", []string{`"{}"`, "4 final: " + tooShort}},
		{"CR alone after it", "2\n{}\r3\n123", []string{`"{}"`, "4 final: " + tooShort}},
		{"one byte too short", "1\r\n{}\r\n5\n{\"\":1}\n2\r\n[1]\r\n3\n[1]\r\n", []string{`"{}"`, `"{\"\":1}"`, `"[1]"`, `"[1]"`}},
		{"CR counted and LF not", "3\r\n{}\r\n1\r\n\r\n2\n\r\r\n", []string{`"{}"`, "keepalive", `"\r"`}},
		{"text", "2\r\nab\r\n2\nab\n2\nab", []string{`"ab"`, `"ab"`, `"ab"`}},
		{"too short and too large", "7\n{234567\n8\n{234567\n7\n{2345678\n7\n{23456789\n", []string{
			`"{234567"`, `"{234567"`, `"{2345678"`, "31 final: longer than announced, and larger than MaxFrame"}},
		{"too short, without end", "2\n{2345678901234", []string{"0 final: longer than announced, and larger than MaxFrame"}},
		{"too short and cut", "2\n{\"a", []string{"0 cut"}},
		{"cut in the length", "2\n{}\n1", []string{`"{}"`, "5 cut"}},
		{"cut in the frame", "3\n{}", []string{"0 cut"}},
		{"cut in the line end", "2\n{}\r", []string{`"{}"`, "4 cut"}},
		{"end without a line end", "2\n{}", []string{`"{}"`}},
		{"limit", "8\n12345678\n9\n123456789\n2\n{}\n", []string{`"12345678"`, "11 too large", `"{}"`}},
		{"too large with CRLF counted", "9\n1234567\r\n2\n{}\n", []string{"0 too large", `"{}"`}},
		{"too large and cut", "9\n1234", []string{"0 too large", "0 cut"}},
		{"huge", "2\n{}\n9999999999999999999\n12", []string{`"{}"`, "5 too large", "5 cut"}},
		{"cut after an oversize frame", "9\n123456789\n2\n{", []string{"0 too large", "12 cut"}},
	} {
		t.Run(c.name, func(t *testing.T) { checkBad(t, decode.LengthPrefixed, 8, c.in, c.want) })
	}
	checkAtOnce(t, decode.LengthPrefixed, "2\n{}", "{}")
}

func TestUint32Prefixed(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"frames", "\x00\x00\x00\x01a\x00\x00\x00\x02bc", []string{`"a"`, `"bc"`}},
		{"keepalive", "\x00\x00\x00\x00\x00\x00\x00\x01a", []string{"keepalive", `"a"`}},
		{"payload is anything", "\x00\x00\x00\x04a\r\n\n", []string{`"a\r\n\n"`}},
		{"cut in the length", "\x00\x00\x00\x01a\x00", []string{`"a"`, "5 cut"}},
		{"cut in the frame", "\x00\x00\x00\x02a", []string{"0 cut"}},
		{"cut before the frame", "\x00\x00\x00\x01a\x00\x00\x00\x02", []string{`"a"`, "5 cut"}},
		{"limit", "\x00\x00\x00\x0812345678\x00\x00\x00\x09123456789\x00\x00\x00\x01a", []string{`"12345678"`, "12 too large", `"a"`}},
		{"the largest", "\xff\xff\xff\xff123", []string{"0 too large", "0 cut"}},
		{"empty", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) { checkBad(t, decode.Uint32Prefixed, 8, c.in, c.want) })
	}
	checkAtOnce(t, decode.Uint32Prefixed, "\x00\x00\x00\x01a", "a")
}

func TestVarintPrefixed(t *testing.T) {
	long := strings.Repeat("x", 300)
	check(t, decode.VarintPrefixed, 300, "\xac\x02"+long+"\x01a", []string{`"` + long + `"`, `"a"`})
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"frames", "\x01a\x00\x02bc", []string{`"a"`, "keepalive", `"bc"`}},
		{"more bytes than needed", "\x81\x00a", []string{`"a"`}},
		{"cut in the length", "\x01a\xac", []string{`"a"`, "2 cut"}},
		{"cut in the frame", "\x01a\x02a", []string{`"a"`, "2 cut"}},
		{"limit", "\x0812345678\x09123456789\x01a", []string{`"12345678"`, "9 too large", `"a"`}},
		{"the largest", strings.Repeat("\xff", 9) + "\x01a", []string{"0 too large", "0 cut"}},
		{"overflow", strings.Repeat("\xff", 11), []string{"0 final: does not begin with a length"}},
	} {
		t.Run(c.name, func(t *testing.T) { checkBad(t, decode.VarintPrefixed, 8, c.in, c.want) })
	}
	checkAtOnce(t, decode.VarintPrefixed, "\x01a", "a")
}

// TestAnnouncedLengthAllocatesNothing announces a frame as large as allowed and sends none of it.
func TestAnnouncedLengthAllocatesNothing(t *testing.T) {
	for in, f := range map[string]decode.Format{
		"9223372036854775807\n":              decode.LengthPrefixed,
		"\xff\xff\xff\xff":                   decode.Uint32Prefixed,
		strings.Repeat("\xff", 8) + "\x7f..": decode.VarintPrefixed,
	} {
		allocated := allocatedBy(func() {
			_, err := next(newReader(strings.NewReader(in), f, math.MaxInt))
			var fe *decode.FrameError
			if !errors.As(err, &fe) || errors.Is(err, decode.ErrTooLarge) {
				t.Errorf("%T: got error %v, want a frame that is cut off", f, err)
			}
		})
		if allocated > 64<<10 {
			t.Errorf("%T: got %d bytes allocated for a frame that was not sent, want at most 64 KiB", f, allocated)
		}
	}
}

package decode_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

// The replacements are those of browsers and of TextDecoder in JavaScript.
func TestSSEValidUTF8(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"valid", "id: …\ndata: a\u2026\U0001f600\n\n", []string{"\"a…😀\" id \"…\""}},
		{"U+FFFD in the input", "data: \ufffd\n\n", []string{`"�"`}},
		{"not a first byte", "data: \xff\x80a\xc0\xaf\n\n", []string{`"��a��"`}},
		{"cut short", "data: \xe2\x80a\xf0\x9f\x98\n\n", []string{`"�a�"`}},
		{"cut short by a character", "data: \xe2\x80\xe2\x80\xa6\n\n", []string{`"�…"`}},
		{"surrogate", "data: \xed\xa0\x80\n\n", []string{`"���"`}},
		{"overlong form", "data: \xe0\x80\x80\n\n", []string{`"���"`}},
		{"too large", "data: \xf4\x90\x80\x80\n\n", []string{`"����"`}},
		{"id and type", "event: \xff\nid: 1\xe2\ndata: a\n\n", []string{`"a" type � id "1�"`}},
		{"lines", "data: \xe2\ndata: \x80\xa6\r\n\n", []string{`"�\n��"`}},
		{"names", "data\xff: a\ndata: b\n\n", []string{`"b"`}},
		{"comment", ": \xff\n", []string{`comment " �"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, decode.SSE{ValidUTF8: true, Comments: true}, 0, c.in, c.want)
		})
	}
}

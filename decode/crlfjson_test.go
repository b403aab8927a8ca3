package decode_test

import (
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

func TestCRLFJSON(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"messages", "{}\r\n[1]\r\n", []string{`"{}"`, `"[1]"`}},
		{"LF inside", "{\n\n}\r\n\"a\n\"\r\n", []string{`"{\n\n}"`, `"\"a\n\""`}},
		{"CR inside", "a\rb\r\r\n", []string{`"a\rb\r"`}},
		{"CR and LF apart", "a\r \n\r\n", []string{`"a\r \n"`}},
		{"empty messages", "\r\n\r\n{}\r\n\r\n", []string{"keepalive", "keepalive", `"{}"`, "keepalive"}},
		{"keepalives of one LF", "\n\n{}\r\n\n", []string{"keepalive", "keepalive", `"{}"`, "keepalive"}},
		{"leading space", "  {} \r\n \n  \r\n", []string{`"{} "`, "keepalive", "keepalive"}},
		{"cut", "1\r\n{}", []string{`"1"`, "3 cut"}},
		{"cut in the end", "1\r\n{}\r", []string{`"1"`, "3 cut"}},
		{"cut keepalive", "\r", []string{"0 cut"}},
		{"limit", "1234\r\n12345\r\n1234\r\n\r\n", []string{`"1234"`, "6 too large", `"1234"`, "keepalive"}},
		{"limit without space", "      1234\r\n", []string{`"1234"`}},
		{"LF does not end an oversize message", "12345\n\n\r\r\n1\r\n", []string{"0 too large", `"1"`}},
		{"too large and cut", "12345678\r", []string{"0 too large", "0 cut"}},
		{"space only", "   ", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := 4
			if strings.Contains(c.name, "inside") {
				limit = 0
			}
			checkBad(t, decode.CRLFJSON, limit, c.in, c.want)
		})
	}
	checkAtOnce(t, decode.CRLFJSON, "{\n}\r\n", "{\n}")
}

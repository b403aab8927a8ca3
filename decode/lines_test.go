package decode_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

func TestLines(t *testing.T) {
	checkBad(t, decode.Lines, 5, "a\n\r\n b \r\n123456\nc\rd\n12345", []string{
		`"a"`, "keepalive", `" b "`, "9 too large", `"c\rd"`, `"12345" truncated`,
	})
	check(t, decode.Lines, 0, "a\r", []string{`"a" truncated`})
	check(t, decode.Lines, 0, "a\n\r", []string{`"a"`, "cut"})
	checkAtOnce(t, decode.Lines, "a\n", "a")
}

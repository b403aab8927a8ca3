package decode_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

func TestNDJSON(t *testing.T) {
	cases := []struct {
		name, in string
		want     []string
	}{
		{"lines", "{\"a\":1}\n[2]\r\n3\n", []string{`"{\"a\":1}"`, `"[2]"`, `"3"`}},
		{"empty lines", "\n\r\n1\n", []string{"keepalive", "keepalive", `"1"`}},
		{"CR inside", "a\rb\n", []string{`"a\rb"`}},
		{"not JSON", "oops\n{}\n", []string{`"oops"`, `"{}"`}},
		{"last object", "1\n{\"a\":1}", []string{`"1"`, `"{\"a\":1}"`}},
		{"last array", "[1]\r", []string{`"[1]"`}},
		{"last string", `"a"`, []string{`"\"a\""`}},
		{"last object behind space", "\t {}", []string{`"\t {}"`}},
		{"last line of space", "1\n \t", []string{`"1"`, "cut"}},
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

func TestNDJSONLimit(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"1234\r\n12345\r\n1\n", []string{`"1234"`, "6 too large", `"1"`}},
		{"[12]", []string{`"[12]"`}},
		{"[123]", []string{"0 too large"}},
		{"1\n[123]\r", []string{`"1"`, "2 too large"}},
		{"12345678\n[1]", []string{"0 too large", `"[1]"`}},
	} {
		checkBad(t, decode.NDJSON{}, 4, c.in, c.want)
	}
}

func TestLines(t *testing.T) {
	checkBad(t, decode.Lines{}, 5, "a\n\r\n b \r\n123456\nc\rd\n12345", []string{
		`"a"`, "keepalive", `" b "`, "9 too large", `"c\rd"`, `"12345" truncated`,
	})
	check(t, decode.Lines{}, 0, "a\r", []string{`"a" truncated`})
	check(t, decode.Lines{}, 0, "a\n\r", []string{`"a"`, "cut"})
	checkAtOnce(t, decode.Lines{}, "a\n", "a")
}

// TestRSJSON begins with what a SignalR server answers: a handshake and the first events in
// one message (https://github.com/szarykott/signalrs/issues/14).
func TestRSJSON(t *testing.T) {
	const invocation = `{"type":1,"target":"SendConfiguration","arguments":[{"stunServers":[],"turnServers":[]}]}`
	check(t, decode.RSJSON{}, 0, "{}\x1e"+invocation+"\x1e{\"type\":6}\x1e",
		[]string{`"{}"`, fmt.Sprintf("%q", invocation), `"{\"type\":6}"`})
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"line ends", "{\r\n}\r\x1e\n[]\n\x1e", []string{`"{\r\n}\r"`, `"\n[]\n"`}},
		{"empty record", "\x1e{}\x1e\x1e", []string{"keepalive", `"{}"`, "keepalive"}},
		{"cut", "{}\x1e[]", []string{`"{}"`, "3 cut"}},
		{"limit", "123456\x1e1234567\x1e1\x1e", []string{`"123456"`, "7 too large", `"1"`}},
		{"nothing", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) { checkBad(t, decode.RSJSON{}, 6, c.in, c.want) })
	}
	checkAtOnce(t, decode.RSJSON{}, "[]\x1e", "[]")
}

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
		{"space in front", "  {} \r\n \n  \r\n", []string{`"{} "`, "keepalive", "keepalive"}},
		{"cut", "1\r\n{}", []string{`"1"`, "3 cut"}},
		{"cut in the end", "1\r\n{}\r", []string{`"1"`, "3 cut"}},
		{"cut keepalive", "\r", []string{"0 cut"}},
		{"limit", "1234\r\n12345\r\n1234\r\n\r\n", []string{`"1234"`, "6 too large", `"1234"`, "keepalive"}},
		{"limit without space", "      1234\r\n", []string{`"1234"`}},
		{"LF does not end what is too large", "12345\n\n\r\r\n1\r\n", []string{"0 too large", `"1"`}},
		{"too large and cut", "12345678\r", []string{"0 too large", "0 cut"}},
		{"space only", "   ", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := 4
			if strings.Contains(c.name, "inside") {
				limit = 0
			}
			checkBad(t, decode.CRLFJSON{}, limit, c.in, c.want)
		})
	}
	checkAtOnce(t, decode.CRLFJSON{}, "{\n}\r\n", "{\n}")
}

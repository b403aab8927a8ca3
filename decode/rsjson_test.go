package decode_test

import (
	"fmt"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

// TestRSJSON starts with the answer of a SignalR server: a handshake and the first events in one
// message (https://github.com/szarykott/signalrs/issues/14).
func TestRSJSON(t *testing.T) {
	const invocation = `{"type":1,"target":"SendConfiguration","arguments":[{"stunServers":[],"turnServers":[]}]}`
	check(t, decode.RSJSON, 0, "{}\x1e"+invocation+"\x1e{\"type\":6}\x1e",
		[]string{`"{}"`, fmt.Sprintf("%q", invocation), `"{\"type\":6}"`})
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"line ends", "{\r\n}\r\x1e\n[]\n\x1e", []string{`"{\r\n}\r"`, `"\n[]\n"`}},
		{"empty record", "\x1e{}\x1e\x1e", []string{"keepalive", `"{}"`, "keepalive"}},
		{"cut", "{}\x1e[]", []string{`"{}"`, "3 cut"}},
		{"limit", "123456\x1e1234567\x1e1\x1e", []string{`"123456"`, "7 too large", `"1"`}},
		{"empty", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) { checkBad(t, decode.RSJSON, 6, c.in, c.want) })
	}
	checkAtOnce(t, decode.RSJSON, "[]\x1e", "[]")
}

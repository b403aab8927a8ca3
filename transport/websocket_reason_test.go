package transport_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// Case 7.5.1 of the Autobahn test suite: a reason that is not UTF-8 is answered with 1007. What
// the server means is still its code.
func TestWebSocketReasonNotUTF8(t *testing.T) {
	const reason = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64"
	for name, c := range map[string]struct {
		reason  string
		anyText bool
		pieces  int
		answer  int
	}{
		"invalid":           {reason, false, 1, 1007},
		"invalid in pieces": {reason, false, 7, 1007},
		"AllowInvalidUTF8":  {reason, true, 1, 4004},
		"valid":             {"κόσμε", false, 1, 4004},
		"none":              {"", false, 1, 4004},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				said := make(chan int, 1)
				w := raw(t, func(conn net.Conn) {
					frame := closing(4004, c.reason)
					for len(frame) > 0 {
						n := min(len(frame), (len(closing(4004, c.reason))+c.pieces-1)/c.pieces)
						conn.Write(frame[:n])
						frame = frame[n:]
						time.Sleep(100 * time.Millisecond)
					}
					said <- sentClose(hangUp(conn))
				})
				w.AllowInvalidUTF8 = c.anyText
				err := want[*transport.CloseError](t, readError(t, openSocket(t, w, "")))
				if err.Code != 4004 || err.Reason != strings.ToValidUTF8(c.reason, "\uFFFD") {
					t.Errorf("got %d %q", err.Code, err.Reason)
				}
				if got := <-said; got != c.answer {
					t.Errorf("the server gets close code %d, want %d", got, c.answer)
				}
			})
		})
	}
}

package record_test

import (
	"math"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/record"
)

func TestReplayEditedByHand(t *testing.T) {
	const recording = "steadfeed recording 1\r\n\n# a fixture\n1 0s open\n\n1 1h30m event type=\"a\" id=1\r\n\tone\r\n\ttwo\r\n# done\n1 0s end"
	if _, err := record.Replay(strings.NewReader(recording), 0); err == nil || !strings.Contains(err.Error(), "line 10: missing line end") {
		t.Errorf("got error %v, want one about the line end in line 10", err)
	}
	script, err := record.Replay(strings.NewReader(recording+"\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := recordingOf(t, mock.NewFeed(script...))
	equal(t, c.seen, []string{`0 a "1" "1" "one\ntwo" 0s `})
}

func TestReplayErrors(t *testing.T) {
	const open = "1 0s open\n"
	for _, tt := range []struct{ body, want string }{
		{"1 0s", "line 2: want a connection number, a delay and a verb"},
		{"x 0s open", `line 2: "x" is not a connection number`},
		{"0 0s open", `line 2: "0" is not a connection number`},
		{"1 0 open\n1 1 eof", `line 3: "1" is not a delay`},
		{"1 -1s open", `line 2: "-1s" is not a delay`},
		{"1 0s opens", `line 2: unknown verb "opens"`},
		{"1  0s open", `line 2: "" is not a delay`},
		{"2 0s open", "line 2: the next connection is 1, not 2"},
		{open + "1 0s open", "line 3: the next connection is 2, not 1"},
		{"1 0s eof", "line 2: connection 1 is not open"},
		{open + "1 0s eof\n1 0s cut", "line 4: connection 1 is not open"},
		{open + "2 0s keepalive", "line 3: connection 2 is not open"},
		{"2 0s end", "line 2: the next connection is 1, not 2"},
		{"1 0s open id=1", `line 2: open has no field "id"`},
		{"1 0s open ", `line 2: open has no field ""`},
		{open + "1 0s event id=1 id=2", "line 3: duplicate field id"},
		{open + "1 0s event token", "line 3: token needs a value"},
		{open + "1 0s event token=1 id=1", `line 3: "1" is not a valid token`},
		{open + `1 0s event token=""`, `line 3: "" is not a valid token`},
		{open + "1 0s comment token=1", `line 3: comment has no field "token"`},
		{open + "1 0s event id", "line 3: id needs a value"},
		{open + "1 0s event id=", "line 3: id: the value is missing or must be quoted"},
		{open + `1 0s event id=""`, `line 3: "" is not a valid id`},
		{open + `1 0s event id="1`, "line 3: id: missing closing quote"},
		{open + `1 0s event id="1"type=x`, "line 3: id: want a space after the value"},
		{open + "1 0s event missed=1", "line 3: missed needs gap"},
		{open + "1 0s event gap=notice missed=-1", `line 3: "-1" is not a valid missed`},
		{open + "1 0s retry", "line 3: retry needs wait"},
		{open + "1 0s retry wait=soon", `line 3: "soon" is not a valid wait`},
		{open + "1 0s retry wait=-1s", `line 3: "-1s" is not a valid wait`},
		{"1 0s status", "line 2: status needs code"},
		{"1 0s status code=200", `line 2: "200" is not a valid code`},
		{open + "1 0s close", "line 3: close needs code"},
		{open + "1 0s close code=404", `line 3: "404" is not a valid code`},
		{open + "1 0s close code=1006", `line 3: "1006" is not a valid code`},
		{open + "1 0s close code=4000\n1 0s eof", "line 4: connection 1 is not open"},
		{"1 0s status code=4040", `line 2: "4040" is not a valid code`},
		{open + "\ttext", "line 3: open takes no payload"},
		{"# comment\n\ttext", `line 3: want a connection number, a delay and a verb`},
		{open + "1 0s event\n\ta\n\n\tb", "line 6: want a connection number, a delay and a verb"},
		{open + "1 0s event\n\ta \n1 0s eof", "line 4: the payload must be quoted"},
		{open + "1 0s event\n\t", "line 4: the payload must be quoted"},
		{open + "1 0s event quoted\n1 0s eof", "line 3: want one line with a double-quoted string"},
		{open + "1 0s event quoted\n\t`a`", "line 4: want one line with a double-quoted string"},
		{open + "1 0s event quoted\n\t\"a\n\t\"", "line 5: want one line with a double-quoted string"},
		{open + "1 0s event quoted\n\t\"a", "line 4: the payload is not a valid double-quoted string"},
		{open + "1 0s event quoted=x\n\t\"a\"", `line 3: "x" is not a valid quoted`},
	} {
		_, err := record.Replay(strings.NewReader("steadfeed recording 1\n"+tt.body+"\n"), 1)
		if err == nil || err.Error() != "record: "+tt.want {
			t.Errorf("%q: got error %v, want %s", tt.body, err, tt.want)
		}
	}
	for _, text := range []string{"", "\n", "steadfeed recording 2\n", "steadfeed recording 1"} {
		if _, err := record.Replay(strings.NewReader(text), 1); err == nil || !strings.HasPrefix(err.Error(), "record: line 1: ") {
			t.Errorf("%q: got error %v, want one in line 1", text, err)
		}
	}
	for _, speed := range []float64{-1, math.NaN()} {
		if _, err := record.Replay(strings.NewReader("steadfeed recording 1\n"), speed); err == nil {
			t.Errorf("speed %v: got no error, want one", speed)
		}
	}
}

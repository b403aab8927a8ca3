package mock

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// Replay reads what a [Recorder] wrote and returns it as a script, for a [Feed] to play to
// one consumer on any wire. Speed 1 keeps the times of the recording, 10 is ten times as
// fast, and 0 leaves all silences out.
//
// The script is the feed's side of the recording. Its silences are those on open
// connections; when a connection is made is the consumer's affair, and so is the end of
// one that the consumer closed. A connection that was given up because nothing came is
// replayed as [Stall], and a failure that has no step of its own as [Drop]. The reason of a
// close code is not in a recording. What came again
// after a reconnect is in the script as often as it came. A Gap reaches only a consumer
// without a wire.
//
// Blank lines and lines that begin with # mean nothing. Anything else that a Recorder
// does not write is an error, which names the line.
func Replay(r io.Reader, speed float64) ([]Step, error) {
	if !(speed >= 0) {
		return nil, fmt.Errorf("mock: a recording cannot be replayed at speed %v", speed)
	}
	p := &recordingParser{lines: bufio.NewReader(r)}
	entries, err := p.parse()
	if err != nil {
		return nil, fmt.Errorf("mock: recording, line %d: %w", max(p.n, 1), err)
	}
	var script []Step
	for _, e := range entries {
		step, timed := e.step()
		if d := e.delay.Seconds() / speed; timed && speed > 0 && d > 0 {
			script = append(script, Pause(time.Duration(min(d, longest.Seconds())*float64(time.Second))))
		}
		if step != nil {
			script = append(script, *step)
		}
	}
	return script, nil
}

// longest is how long a silence can become by a low speed.
const longest = 100 * 365 * 24 * time.Hour

// step is the feed's part in an entry, if it has one, and whether it is the feed that had
// everybody wait for it.
func (e *entry) step() (step *Step, timed bool) {
	var s Step
	switch e.verb {
	case verbOpen, verbClosed:
		return nil, false
	case verbStatus:
		code, _ := strconv.Atoi(e.get("code"))
		s = Status(code)
		if after := e.get("retry-after"); after != "" {
			s.header.Set("Retry-After", after)
		}
		return &s, false
	case verbProtocol:
		s = Status(http.StatusOK)
		return &s, false
	case verbRefused:
		s = Refuse()
		return &s, false
	case verbSilent:
		s = Stall()
		return &s, false
	case verbEOF:
		s = End()
	case verbCut:
		s = Drop()
	case verbClose:
		code, _ := strconv.Atoi(e.get("code"))
		s = Close(code, "")
	case verbEnd:
		s = Complete()
	default:
		s = e.frame()
	}
	return &s, true
}

// frame is the step of a message.
func (e *entry) frame() Step {
	f := decode.Frame{ID: e.get("id"), Type: e.get("type"), Data: e.data}
	for kind, verb := range verbOf {
		if verb == e.verb {
			f.Kind = kind
		}
	}
	f.Delay, _ = time.ParseDuration(cmp.Or(e.get("wait"), "0s"))
	s := Frame(f)
	if reason := e.get("gap"); reason != "" {
		s.gap = &transport.Gap{Reason: transport.GapReason(reason)}
		s.gap.Missed, _ = strconv.ParseUint(cmp.Or(e.get("missed"), "0"), 10, 64)
	}
	return s
}

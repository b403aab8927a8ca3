package record

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/bridge"
	"github.com/steadfeed/steadfeed/transport"
)

// Replay reads what [Transport] or [Receiver] wrote and returns it as a script, for a [mock.Feed]
// to play to one consumer on any wire. Speed 1 keeps the times of the recording, 10 is ten times as
// fast, and 0 removes all pauses. A negative speed is an error.
//
// The script is the feed's side of the recording. Its pauses are those on open connections. The
// consumer decides when to connect, and a connection that the consumer closed has no end in the
// script. A connection that the consumer closed because nothing came is replayed as [mock.Stall],
// and a failure that no step represents as [mock.Drop]. A recording does not contain the reason of a
// close code. Events that came again after a reconnect are repeated in the script. A Gap reaches
// only a consumer without a wire, and so does an id that differs from the token: on a wire, which
// has one field for both, it is the token.
//
// Blank lines and lines that start with # are ignored. Any other line that Transport does not
// write is an error, which names the line.
func Replay(r io.Reader, speed float64) ([]mock.Step, error) {
	if !(speed >= 0) {
		return nil, fmt.Errorf("record: replay speed %v: must be 0 or more", speed)
	}
	p := &recordingParser{lines: bufio.NewReader(r)}
	entries, err := p.parse()
	if err != nil {
		return nil, fmt.Errorf("record: line %d: %w", max(p.n, 1), err)
	}
	var script []mock.Step
	for _, e := range entries {
		step, timed := e.step()
		if d := e.delay.Seconds() / speed; timed && speed > 0 && d > 0 {
			script = append(script, mock.Pause(time.Duration(min(d, longest.Seconds())*float64(time.Second))))
		}
		if step != nil {
			script = append(script, *step)
		}
	}
	return script, nil
}

// longest is the maximum pause, for low speeds.
const longest = 100 * 365 * 24 * time.Hour

// step returns the feed's step in an entry, nil if there is none, and whether the feed caused
// the delay before it.
func (e *entry) step() (step *mock.Step, timed bool) {
	var s mock.Step
	switch e.verb {
	case verbOpen, verbClosed:
		return nil, false
	case verbStatus:
		code, _ := strconv.Atoi(e.get("code"))
		header := make(http.Header)
		if after := e.get("retry-after"); after != "" {
			header.Set("Retry-After", after)
		}
		s = mock.Status(code, header)
		return &s, false
	case verbProtocol:
		s = mock.Status(http.StatusOK)
		return &s, false
	case verbRefused:
		s = mock.Refuse()
		return &s, false
	case verbSilent:
		s = mock.Stall()
		return &s, false
	case verbEOF:
		s = mock.End()
	case verbCut:
		s = mock.Drop()
	case verbClose:
		code, _ := strconv.Atoi(e.get("code"))
		s = mock.Close(code, "")
	case verbEnd:
		s = mock.Complete()
	default:
		s = e.frame()
	}
	return &s, true
}

// frame returns the step of a message.
func (e *entry) frame() mock.Step {
	f := decode.Frame{ID: e.get("id"), Type: e.get("type"), Data: e.data}
	for kind, verb := range verbOf {
		if verb == e.verb {
			f.Kind = kind
		}
	}
	f.Delay, _ = time.ParseDuration(cmp.Or(e.get("wait"), "0s"))
	s := mock.Frame(f)
	if e.has("token") {
		token := e.get("token")
		bridge.ExtraOf(&s).Token = &token
	}
	if reason := e.get("gap"); reason != "" {
		gap := &transport.Gap{Reason: transport.GapReason(reason)}
		gap.Missed, _ = strconv.ParseUint(cmp.Or(e.get("missed"), "0"), 10, 64)
		bridge.ExtraOf(&s).Gap = gap
	}
	return s
}

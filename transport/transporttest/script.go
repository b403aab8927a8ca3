package transporttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// A Start starts a peer that plays s and returns a Transport that connects to it, or nil if
// this kind of feed cannot play s. It stops what it starts with t.Cleanup. It is called once
// per check, and may call t.Skip, t.Fatal and the like.
type Start = func(t testing.TB, s Script) transport.Transport

// A Script is what the peer of a Transport does. The first connection is made without a token:
// it receives the Events and then the Ending. A later one that gives the token of an event
// receives the events after it, and stays open.
type Script struct {
	Dial   Dial
	Events []Event
	Ending Ending

	// Resumes reports that later connections give a token. Default: false.
	Resumes bool

	// Misconfigured asks for a Transport with an option that cannot work, such as a URL without
	// a host, or nil if there is none. It has no peer. Default: false.
	Misconfigured bool
}

// An Event is one event as the peer sends it.
type Event struct {
	// Token is passed to Open to resume after this event.
	Token string
	// Data is a JSON object on one line. Its member "id" is the token, for feeds that send the
	// token in the payload. Read must return the same bytes.
	Data string
	// Pause is how long the peer is silent before the event. Without it the event may arrive
	// together with the one before it. Default: none.
	Pause time.Duration
}

// Dial is the outcome of an attempt to connect.
type Dial uint8

const (
	DialAccepted Dial = iota // it accepts every attempt
	DialSilent               // it accepts the connection and never sends anything
	DialRefused              // it refuses every attempt
)

// Ending is what happens on the first connection after the last event.
type Ending uint8

const (
	EndingStay     Ending = iota // the connection stays open and silent
	EndingClean                  // the peer ends the connection cleanly; the feed continues on the next one
	EndingCut                    // the connection breaks between two messages
	EndingPartial                // only the beginning of another event arrives, then the connection ends
	EndingComplete               // the feed is complete; a reconnect is pointless
)

// events returns n events, whose padding has the given sizes, in turn.
func events(n int, sizes ...int) []Event {
	all := make([]Event, n)
	for i := range all {
		token := fmt.Sprintf("secret-%d", i+1)
		pad := ""
		if len(sizes) > 0 {
			pad = strings.Repeat(string(rune('a'+i%26)), sizes[i%len(sizes)])
		}
		all[i] = Event{Token: token, Data: fmt.Sprintf(`{"id":%q,"pad":%q}`, token, pad)}
	}
	return all
}

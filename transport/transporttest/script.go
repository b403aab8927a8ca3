package transporttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// A Start starts a peer that plays s and returns a Transport that connects to it, or nil if
// this kind of feed has nothing like it. What it starts it stops by t.Cleanup. It is called
// once for each check, and may call t.Skip, t.Fatal and the like.
type Start = func(t testing.TB, s Script) transport.Transport

// A Script is what the peer of a Transport does. The first connection, which is made
// without a token, gets the Events and then comes to the Ending. A later one that names
// the token of an event gets the events behind it, and stays open.
type Script struct {
	Door   Door
	Events []Event
	Ending Ending

	// Resumes says that there will be connections that name a token.
	Resumes bool
}

// An Event is one event as the peer sends it.
type Event struct {
	// Token is what Open is given to resume behind this event.
	Token string
	// Data is a JSON object on one line. Its member "id" is the token, for those who
	// send that as a part of the payload. What Read brings must have the same bytes.
	Data string
	// Pause is how long the peer is silent before the event. Default none: it may
	// come with the one before it.
	Pause time.Duration
}

// Door is how the peer meets an attempt to connect.
type Door uint8

const (
	Open   Door = iota // it lets everybody in
	Mute               // it takes the connection and never says a word
	Closed             // it refuses each attempt
)

// Ending is what happens on the first connection behind the last event.
type Ending uint8

const (
	Stay     Ending = iota // the connection stays open and silent
	End                    // the peer ends the connection in good order; the feed goes on with the next one
	Cut                    // the connection breaks between two messages
	Partial                // the beginning of one more event comes, and then the connection is over
	Complete               // the feed is complete; there is nothing to reconnect to
)

// events makes n events, the sizes of which are those given, in turn.
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

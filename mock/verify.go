package mock

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// TB is what this package needs of a *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
}

// A Promise is what a consumer is held to by [Feed.Verify]. They are combined with |:
// exactly once is AtLeastOnce|AtMostOnce.
type Promise uint8

const (
	// AtLeastOnce: no event is missing, except those just before one that came with a
	// Gap, because that tells of them.
	AtLeastOnce Promise = 1 << iota
	// AtMostOnce: no event was given twice.
	AtMostOnce
	// InOrder: no event came for the first time behind a later one, unless a Gap had told
	// of it. Repeating earlier events is allowed.
	InOrder
)

// Seen collects what a consumer was given, in the order in which it was. The zero value
// is ready for use, from any goroutine.
type Seen struct {
	mu   sync.Mutex
	all  []sighting
	note func(format string, args ...any) // of a Trial, nil elsewhere
}

type sighting struct {
	id   string
	data []byte
	gap  bool
}

// Add notes an event: its id, its data (nil: not to be compared), and the Gap that came
// with it, if any. An event of which neither id nor data is given is none: it stands for
// a Gap behind the last event, such as the error of a subscription that has ended.
//
//	seen.Add(ev.ID, ev.Data, ev.Gap)
func (s *Seen) Add(id string, data []byte, gap *transport.Gap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, sighting{id, bytes.Clone(data), gap != nil})
	if s.note == nil {
		return
	}
	s.note("seen: %s", label(id, data))
	if gap != nil {
		s.note("seen: the gap before it (%s)", gap.Reason)
	}
}

// Verify compares what a consumer has seen with what the feed has sent, which is its
// Log: what is still in the script was not sent. Each promise that is broken is an error on
// t, in one report with the places where they differ. An event that the feed never sent,
// or not with that data, is always one.
//
// Events are told apart by their ids, and those without one by their data, of which
// line ends and the envelope of [Feed.NDJSON] make no difference. Where the feed used an
// id twice, both are the same event. A position that comes as an event, as on wires of
// JSON, is passed over.
func (f *Feed) Verify(t TB, seen *Seen, p Promise) {
	t.Helper()
	c := f.compare(seen, p)
	if found := c.summary(); found != "" {
		t.Errorf("mock: what the consumer has seen is not what the feed has sent: %s\n%s", found, c.diff())
	}
}

// compare finds for each sighting the event that it is of.
func (f *Feed) compare(seen *Seen, p Promise) *comparison {
	c := newComparison(f.sent())
	c.positions = f.positions()
	seen.mu.Lock()
	defer seen.mu.Unlock()
	for _, s := range seen.all {
		c.see(s, p)
	}
	if c.gap {
		c.tell(sighting{})
	}
	if p&AtLeastOnce != 0 {
		for _, e := range c.events {
			if e.seen == 0 && !e.told {
				e.mark, e.remark = '-', "missing"
				c.missing++
			}
		}
	}
	return c
}

// A sent event is one of the feed's.
type sent struct {
	frame  decode.Frame
	before []string // what happened on the tape between it and the event before
	after  []extra  // what was seen just behind it and should not

	seen   int
	told   bool // a Gap says that it is missing
	mark   byte
	remark string
}

// An extra is a sighting too many.
type extra struct{ event, remark string }

// sent returns the distinct events of the tape. The last one is none: it has what
// happened behind the others.
func (f *Feed) sent() []*sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*sent
	var before []string
	known := make(map[string]bool)
	for _, s := range f.tape {
		switch {
		case s.isEvent() && !known[s.frame.ID]:
			all = append(all, &sent{frame: s.frame, before: before, mark: ' '})
			known[s.frame.ID] = s.frame.ID != ""
			before = nil
		case s.act != sends:
			before = append(before, s.act.String())
		}
	}
	return append(all, &sent{before: before, mark: ' '})
}

// positions returns the positions that were sent as they look on a wire that has no other
// words for them than for an event.
func (f *Feed) positions() map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[string]bool)
	for _, s := range f.tape {
		if s.act == sends && s.frame.Kind == decode.Position {
			line, _ := appendNDJSON(nil, s)
			all[string(bytes.TrimSuffix(line, []byte("\n")))] = true
		}
	}
	return all
}

// A comparison finds out event by event how two accounts differ.
type comparison struct {
	events    []*sent
	start     *sent // stands before the first event
	end       *sent // stands behind the last one
	byID      map[string]int
	byData    map[string][]int
	positions map[string]bool // that look like events
	gap       bool            // that came with one of them
	last      *sent           // that was seen
	latest    int             // of the events seen so far

	missing, again, late, unknown, changed int
}

func newComparison(all []*sent) *comparison {
	n := len(all) - 1
	c := &comparison{
		events: all[:n], start: &sent{}, end: all[n], latest: -1,
		byID: make(map[string]int), byData: make(map[string][]int),
	}
	c.last = c.start
	for i, e := range c.events {
		if e.frame.ID != "" {
			c.byID[e.frame.ID] = i
		}
		for _, form := range forms(e.frame) {
			c.byData[form] = append(c.byData[form], i)
		}
	}
	return c
}

// forms are the ways in which the data of an event can come out of a wire.
func forms(f decode.Frame) []string {
	all := []string{normal(f.Data)}
	line, err := appendNDJSON(nil, Step{frame: f})
	if form := string(bytes.TrimSuffix(line, []byte("\n"))); err == nil && form != all[0] {
		all = append(all, form)
	}
	return all
}

func normal(data []byte) string { return lineEnds.Replace(string(data)) }

// see takes the next sighting into account.
func (c *comparison) see(s sighting, p Promise) {
	if c.positions[string(s.data)] && c.byData[string(s.data)] == nil {
		c.gap = c.gap || s.gap // it is for the next event
		return
	}
	if s.gap || c.gap {
		c.gap = false
		defer c.tell(s)
	}
	if s.id == "" && s.data == nil {
		return
	}
	i := c.find(s)
	if i < 0 {
		c.unknown++
		c.extra(label(s.id, s.data), "never sent")
		return
	}
	e := c.events[i]
	e.seen++
	switch {
	case s.data != nil && !c.matches(i, s.data):
		c.changed++
		c.last = e // to be shown behind it
		c.extra(label(s.id, s.data), "not the data that was sent")
	case e.seen > 1 && p&AtMostOnce != 0:
		c.again++
		c.extra(label(e.frame.ID, e.frame.Data), "again")
	case e.seen == 1 && i < c.latest && !e.told && p&InOrder != 0:
		c.late++
		c.extra(label(e.frame.ID, e.frame.Data), "out of order")
	}
	c.latest = max(c.latest, i)
	c.last = e
}

func (c *comparison) extra(event, remark string) {
	c.last.after = append(c.last.after, extra{event, remark})
}

// find returns which event a sighting is of, -1 for none: by its id, or by its data the
// first that was not seen, or the last of those that were.
func (c *comparison) find(s sighting) int {
	if i, ok := c.byID[s.id]; ok {
		return i
	}
	found := -1
	for _, i := range c.byData[normal(s.data)] {
		if found = i; c.events[i].seen == 0 {
			break
		}
	}
	return found
}

func (c *comparison) matches(i int, data []byte) bool {
	for _, form := range forms(c.events[i].frame) {
		if form == normal(data) {
			return true
		}
	}
	return false
}

// tell notes that a Gap tells of the events that are missing just before s.
func (c *comparison) tell(s sighting) {
	i := len(c.events)
	if s.id != "" || s.data != nil {
		i = c.find(s)
	}
	for i--; i >= 0 && c.events[i].seen == 0; i-- {
		c.events[i].told = true
	}
}

// summary says how often which promise is broken; nothing if none is.
func (c *comparison) summary() string {
	var parts []string
	for _, found := range []struct {
		n    int
		what string
	}{{c.missing, "missing"}, {c.again, "seen again"}, {c.late, "out of order"}, {c.unknown, "never sent"}, {c.changed, "with other data"}} {
		if found.n > 0 {
			parts = append(parts, fmt.Sprint(found.n, " ", found.what))
		}
	}
	return strings.Join(parts, ", ")
}

package mock

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"sync"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock/internal/bridge"
	"github.com/steadfeed/steadfeed/transport"
)

// TB is the part of *testing.T that this package needs. Its method Helper is called if it has one.
type TB interface {
	Errorf(format string, args ...any)
}

// An Observed collects what a consumer received, in order. The zero value is ready for use and
// expects what package client guarantees: at least once, in order. Set the fields before
// [Feed.Verify]. The methods may be called from any goroutine.
//
// Add the events that the consumer's DeadLetter accepts, too, or Verify reports them as missing. Do
// not add those from its Backfill that the feed never sends.
type Observed struct {
	// Lossy allows events to be missing. Default: none is missing, except those just before an
	// event with a Gap, which accounts for them.
	Lossy bool

	// Unordered allows an event to be received for the first time after a later one. Default:
	// only if a Gap had accounted for it. Repeating earlier events is not out of order.
	Unordered bool

	// Once forbids an event to be received twice. Default: events may be repeated.
	Once bool

	mu    sync.Mutex
	all   []sighting
	hooks bridge.Hooks
}

type sighting struct {
	id   string
	data []byte
	gap  bool
}

// Add records an event: its id, its data (nil: not compared), and the Gap that came with it, if
// any. Without id and data it records no event, only a Gap after the last event, such as the
// error of a subscription that has ended.
//
//	seen.Add(ev.ID, ev.Data, ev.Gap)
func (s *Observed) Add(id string, data []byte, gap *transport.Gap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, sighting{id, bytes.Clone(data), gap != nil})
	if s.hooks.Log == nil {
		return
	}
	s.hooks.Log("seen: %s", label(id, data))
	if gap != nil {
		s.hooks.Log("seen: the gap before it (%s)", gap.Reason)
	}
}

// Verify compares what a consumer received with what the feed has sent, which is its Log; what
// is still in the script was not sent. It reports everything that the fields of seen do not allow
// as one error on t, which shows the differences. An event that the feed never sent, or not with
// that data, is always an error.
//
// Events are identified by their ids, and those without one by their data, where line ends and
// the envelope of [Feed.Handler] make no difference. If the feed used an id twice, both are the
// same event. A position that arrives as an event, as on JSON wires, is skipped.
func (f *Feed) Verify(t TB, seen *Observed) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	c := f.compare(seen)
	if found := c.summary(); found != "" {
		t.Errorf("mock: consumer did not receive what the feed sent: %s\n%s", found, c.diff())
	}
}

// compare matches each sighting with an event.
func (f *Feed) compare(seen *Observed) *comparison {
	c := newComparison(f.sent())
	c.positions = f.positions()
	seen.mu.Lock()
	defer seen.mu.Unlock()
	for _, s := range seen.all {
		c.observe(s, seen)
	}
	if c.gap {
		c.account(sighting{})
	}
	if !seen.Lossy {
		for _, e := range c.events {
			if e.seen == 0 && !e.accounted {
				e.mark, e.remark = '-', "missing"
				c.missing++
			}
		}
	}
	return c
}

// A sentEvent is an event that the feed has sent.
type sentEvent struct {
	step   Step
	before []string     // what happened on the tape since the event before it
	after  []unexpected // unexpected sightings after it

	seen      int
	accounted bool // a Gap accounts for it
	mark      byte
	remark    string
}

// An unexpected sighting has no event, or not here.
type unexpected struct{ event, remark string }

// sent returns the distinct events of the tape. The last element is not an event: it holds what
// happened after the others.
func (f *Feed) sent() []*sentEvent {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*sentEvent
	var before []string
	known := make(map[string]bool)
	for _, s := range f.tape {
		key := cmp.Or(s.frame.ID, s.token())
		switch {
		case s.isEvent() && !known[key]:
			all = append(all, &sentEvent{step: s, before: before, mark: ' '})
			known[key] = key != ""
			before = nil
		case s.act != sends:
			before = append(before, s.act.String())
		}
	}
	return append(all, &sentEvent{before: before, mark: ' '})
}

// positions returns the positions that were sent, in the form of a wire on which they look like
// events.
func (f *Feed) positions() map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[string]bool)
	for _, s := range f.tape {
		if s.act == sends && s.frame.Kind == decode.KindPosition {
			line, _ := appendNDJSON(nil, s)
			all[string(bytes.TrimSuffix(line, []byte("\n")))] = true
		}
	}
	return all
}

// A comparison matches sightings with events, one by one.
type comparison struct {
	events    []*sentEvent
	start     *sentEvent // stands before the first event
	end       *sentEvent // stands after the last one
	byID      map[string]int
	byData    map[string][]int
	positions map[string]bool // that look like events
	gap       bool            // that came with a position
	last      *sentEvent      // event seen last
	latest    int             // highest index of an event seen so far

	missing, again, late, unknown, changed int
}

func newComparison(all []*sentEvent) *comparison {
	n := len(all) - 1
	c := &comparison{
		events: all[:n], start: &sentEvent{}, end: all[n], latest: -1,
		byID: make(map[string]int), byData: make(map[string][]int),
	}
	c.last = c.start
	for i, e := range c.events {
		if e.step.frame.ID != "" {
			c.byID[e.step.frame.ID] = i
		}
		for _, form := range forms(e.step) {
			c.byData[form] = append(c.byData[form], i)
		}
	}
	return c
}

// forms returns the forms in which the data of an event can arrive.
func forms(s Step) []string {
	all := []string{normal(s.frame.Data)}
	line, err := appendNDJSON(nil, s)
	if form := string(bytes.TrimSuffix(line, []byte("\n"))); err == nil && form != all[0] {
		all = append(all, form)
	}
	return all
}

func normal(data []byte) string { return lineEnds.Replace(string(data)) }

// observe processes the next sighting.
func (c *comparison) observe(s sighting, expected *Observed) {
	if c.positions[string(s.data)] && c.byData[string(s.data)] == nil {
		c.gap = c.gap || s.gap // the gap belongs to the next event
		return
	}
	if s.gap || c.gap {
		c.gap = false
		defer c.account(s)
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
		c.last = e // show the extra after it
		c.extra(label(s.id, s.data), "not the data that was sent")
	case e.seen > 1 && expected.Once:
		c.again++
		c.extra(label(e.step.frame.ID, e.step.frame.Data), "again")
	case e.seen == 1 && i < c.latest && !e.accounted && !expected.Unordered:
		c.late++
		c.extra(label(e.step.frame.ID, e.step.frame.Data), "out of order")
	}
	c.latest = max(c.latest, i)
	c.last = e
}

func (c *comparison) extra(event, remark string) {
	c.last.after = append(c.last.after, unexpected{event, remark})
}

// find returns the index of a sighting's event, -1 if there is none: by its id, or by its data
// the first that was not seen, or the last of those that were.
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
	for _, form := range forms(c.events[i].step) {
		if form == normal(data) {
			return true
		}
	}
	return false
}

// account records that a Gap accounts for the events that are missing just before s.
func (c *comparison) account(s sighting) {
	i := len(c.events)
	if s.id != "" || s.data != nil {
		i = c.find(s)
	}
	for i--; i >= 0 && c.events[i].seen == 0; i-- {
		c.events[i].accounted = true
	}
}

// summary counts the differences. It is empty if there are none.
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

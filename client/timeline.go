package client

import (
	"slices"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

const (
	maxEntries  = 20  // of a timeline
	maxTexts    = 8   // different texts of errors in it
	maxText     = 128 // bytes of one
	mergeBack   = 4   // entries that an equal transition may be added to
	mergeWithin = 5 * time.Minute
)

// A timeline keeps the last transitions of a subscription. Equal ones share an entry: a server that is
// away for a day, or a connection that breaks each second, must not push out how that began.
type timeline []entry

// An entry is a Transition without what is the same for most of them.
type entry struct {
	first, last int64 // UNIX ns
	delay       time.Duration
	reason, err string
	count       uint32
	state       State
	class       retry.Class
}

func (l *timeline) add(t Transition) {
	e := entry{first: t.Time.UnixNano(), last: t.Time.UnixNano(), delay: t.Delay, reason: t.Reason, err: clip(t.Err),
		count: 1, state: t.State, class: t.Class}
	if old := l.equal(&e); old != nil {
		old.count++
		old.last, old.delay = e.last, e.delay
		return
	}
	l.share(&e)
	if len(*l) == maxEntries {
		copy(*l, (*l)[1:])
		(*l)[maxEntries-1] = e
		return
	}
	if len(*l) == cap(*l) {
		grown := make(timeline, len(*l), min(max(4, 2*len(*l)), maxEntries))
		copy(grown, *l)
		*l = grown
	}
	*l = append(*l, e)
}

// equal returns the entry that e is added to: the last one, or one before it if that has just
// happened, as when a connection is opened and breaks again and again.
func (l timeline) equal(e *entry) *entry {
	for i := len(l) - 1; i >= max(0, len(l)-mergeBack); i-- {
		old := &l[i]
		recent := i == len(l)-1 || e.last-old.last < int64(mergeWithin)
		if recent && old.state == e.state && old.reason == e.reason && old.class == e.class && old.err == e.err {
			return old
		}
	}
	return nil
}

// share makes e use the strings of earlier entries, and drops the oldest text if there are too many.
func (l timeline) share(e *entry) {
	var texts []string
	for i := range l {
		if l[i].reason == e.reason {
			e.reason = l[i].reason
		}
		switch text := l[i].err; {
		case text == "":
		case text == e.err:
			e.err = text
			return
		case !slices.Contains(texts, text):
			texts = append(texts, text)
		}
	}
	if e.err == "" || len(texts) < maxTexts {
		return
	}
	for i := range l {
		if l[i].err == texts[0] {
			l[i].err = ""
		}
	}
}

// clip returns the beginning of a text, without the rest in memory.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:maxText-len("…")], "")) + "…"
}

// list returns the transitions, the oldest first.
func (l timeline) list() []Transition {
	list := make([]Transition, len(l))
	for i, e := range l {
		list[i] = Transition{Time: time.Unix(0, e.first), State: e.state, Reason: e.reason, Class: e.class, Err: e.err,
			Delay: e.delay, Count: int(e.count), Last: time.Unix(0, e.last)}
	}
	return list
}

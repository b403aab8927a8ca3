package transport

import (
	"slices"
	"time"
)

// A round is what lookBack collects.
type round struct {
	events   []Message      // newest first
	places   map[string]int // in events, by token
	size     int            // what the events count toward MaxPage
	stale    int            // pages in a row without an older event
	found    bool           // the last event received was reached
	cut      bool           // the pages exceed MaxPage
	complete bool           // the feed is complete
}

// lookBack requests the newest page, and older ones until the last event received. Nothing is queued
// before all of them have arrived, because the oldest event is delivered first.
func (c *pollConn) lookBack() error {
	start := time.Now()
	first, err := c.fetch(pageRequest{})
	if err != nil {
		return err
	}
	if first.outcome != received {
		c.schedule(start, first, first.outcome == refused)
		c.keepalive()
		return nil
	}
	round, recognized := &round{places: make(map[string]int)}, c.fresh
	for page, r := first, (pageRequest{}); ; {
		more, err := c.collect(round, page)
		if err != nil {
			return err
		}
		next := pageRequest{url: page.Next}
		if !more || c.token == "" && !c.empty || c.run.returns(r, next) {
			break
		}
		if page, err = c.older(next, page); err != nil {
			return err
		}
		r = next
	}
	c.validators = recognized
	first.full = false
	c.schedule(start, first, false)
	c.queue = c.history(round)
	c.empty = c.token == ""
	return c.end(round.complete)
}

// older requests the page before a page. A refusal that asks for a pause only delays it.
func (c *pollConn) older(r pageRequest, page *pageResponse) (*pageResponse, error) {
	for {
		c.due = time.Now().Add(jittered(page.wait))
		if err := c.wait(); err != nil {
			return nil, err
		}
		older, err := c.fetch(r)
		if err != nil || older.outcome != refused {
			return older, err
		}
		page = older
	}
}

// collect adds a page to the round and reports whether an older one is needed.
func (c *pollConn) collect(round *round, page *pageResponse) (more bool, err error) {
	events := page.Events
	for i, m := range events {
		if m.Token == "" {
			return false, c.violation(page, "an event has no position (Poll.Token or ID)")
		}
		if m.Token == c.token {
			events, round.found = events[:i], true
			break
		}
	}
	before := len(round.events)
	round.merge(events)
	if round.stale++; len(round.events) > before {
		round.stale = 0
	}
	round.complete = round.complete || page.final
	if round.found || page.Next == "" || page.final || len(page.Events) == 0 && !page.More || round.stale > maxBlank {
		return false, nil
	}
	round.cut = round.size > c.poll.maxPage()
	return !round.cut, nil
}

// merge adds the events of a page. New events move the others to later pages while these are read,
// so a page can repeat events, and have newer ones than the first page had. After it, the round
// ends with the last event of the page: what follows that is on the next page. Newer events are
// left to the next round.
func (r *round) merge(page []Message) {
	place, from := len(r.events), 0
	for i, m := range page {
		if j, ok := r.places[m.Token]; ok && j < place && r.events[j].Token == m.Token {
			place, from = j, i
		}
	}
	for _, m := range r.events[place:] {
		r.size -= cost(m)
	}
	r.events = r.events[:place]
	for _, m := range page[from:] {
		r.places[m.Token] = len(r.events)
		r.events = append(r.events, m)
		r.size += cost(m)
	}
}

func cost(m Message) int { return max(len(m.Data), minCost) }

// history returns the events of a round, oldest first, and makes the last one the position.
func (c *pollConn) history(round *round) []Message {
	events := round.events
	if len(events) == 0 {
		return nil
	}
	slices.Reverse(events)
	if oldest := &events[0]; oldest.Gap == nil {
		switch {
		case c.token != "" && !round.found:
			oldest.Gap = &Gap{Reason: GapTokenRejected, From: c.token}
		case c.empty && round.cut:
			oldest.Gap = &Gap{Reason: GapNoToken}
		}
	}
	c.token = events[len(events)-1].Token
	return events
}

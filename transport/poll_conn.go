package transport

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

const (
	maxRefusals = 2    // refusals in a row that are keepalives
	minCost     = 64   // bytes that an event counts at least toward MaxPage
	fewEvents   = 1024 // that a page may have, whatever MaxPage is
	maxBlank    = 20   // pages in a row without events that are followed at once
)

// A pollConn asks for pages until it is closed. Only Close is called from other goroutines than
// the reader's.
type pollConn struct {
	poll         *Poll
	ctx          context.Context
	cancel       context.CancelCauseFunc
	roundTripper http.RoundTripper
	settled      func() error // waits until the consumer has acknowledged everything; nil if unknown

	token  string // of the last event queued
	next   string // URL of the next page; empty if Poll.URL has it
	opened bool   // Open has returned
	asked  bool   // with Confirms: a position may be presented

	queue []Message
	err   error // after the queue

	due      time.Time // of the next request
	atEnd    bool      // the server had no more events when it was last asked
	empty    bool      // it had none when there was no token
	refusals int       // in a row
	blank    int       // pages in a row without events
	stuck    int       // pages in a row that report more events and do not advance
	run      cycle

	validators validators // of the last page that was queued in full
	fresh      validators // of the last response
}

func (p *Poll) newConn(ctx context.Context, token string) *pollConn {
	c := &pollConn{poll: p, token: token}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.roundTripper = (&HTTP{Client: p.Client}).roundTripper(c.ctx)
	return c
}

func (c *pollConn) Read(m *Message) error {
	if c.ctx.Err() != nil {
		c.queue = nil
		if c.err == nil {
			c.err = context.Cause(c.ctx)
		}
	}
	if len(c.queue) == 0 && c.err == nil {
		if err := c.advance(); err != nil {
			c.err = err
		}
	}
	if len(c.queue) == 0 {
		return c.err
	}
	*m, c.queue = c.queue[0], c.queue[1:]
	m.More = len(c.queue) > 0 || c.err != nil
	return nil
}

func (c *pollConn) Close() error {
	c.cancel(errClosed)
	return nil
}

// advance waits until the next request is due, and queues what it brings. It returns nil if there
// is a message in the queue.
func (c *pollConn) advance() error {
	if err := c.wait(); err != nil {
		return err
	}
	if c.poll.Resume == nil {
		return c.lookBack()
	}
	return c.lookAhead()
}

// wait returns once the next request may be made.
func (c *pollConn) wait() error {
	if d := time.Until(c.due); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
	if c.asked && c.settled != nil {
		return c.settled()
	}
	return nil
}

// lookAhead requests the page after the position.
func (c *pollConn) lookAhead() error {
	start := time.Now()
	r := pageRequest{token: c.token, url: c.next}
	if c.poll.Confirms && !c.asked {
		r.token = ""
	}
	page, err := c.fetch(r)
	if err != nil {
		return err
	}
	if page.outcome != received {
		c.schedule(start, page, page.outcome == refused)
		c.keepalive()
		return nil
	}
	events, position, err := c.place(page)
	if err != nil {
		return err
	}
	again, err := c.follows(r, position, page)
	if err != nil {
		return err
	}
	if c.empty && r.token == "" && page.full && c.poll.NewestFirst && len(events) > 0 && events[0].Gap == nil {
		events[0].Gap = &Gap{Reason: GapNoToken} // the events before this page were never listed
	}
	moved := position != c.token
	c.empty = position == "" && len(page.Events) == 0
	c.token, c.asked, c.validators, c.queue = position, c.poll.Confirms, c.fresh, events
	c.schedule(start, page, again)
	if len(events) == 0 && moved {
		c.queue = []Message{{Kind: decode.KindPosition, Token: position}}
	}
	return c.end(page.final)
}

// end queues a keepalive if nothing is queued, and ends the feed after the queue if it is complete.
func (c *pollConn) end(complete bool) error {
	switch {
	case !complete && len(c.queue) == 0:
		c.keepalive()
	case complete && len(c.queue) == 0:
		return ErrComplete
	case complete:
		c.err = ErrComplete
	}
	return nil
}

func (c *pollConn) keepalive() { c.queue = []Message{{Kind: decode.KindKeepalive}} }

// place returns the events of a page in the order of delivery, and the position after them.
func (c *pollConn) place(page *pageResponse) (events []Message, position string, err error) {
	events, position = page.Events, page.Token
	if c.poll.NewestFirst {
		slices.Reverse(events)
	}
	if n := len(events); n > 0 && position != "" {
		events[n-1].Token = position
	}
	for _, m := range slices.Backward(events) {
		position = cmp.Or(position, m.Token)
	}
	if len(events) > 0 && position == "" {
		return nil, "", c.violation(page, "no event of the page has a position (Poll.Cursor, Token or ID)")
	}
	if c.poll.Confirms && !c.asked && c.token != "" {
		i := slices.IndexFunc(events, func(m Message) bool { return m.Token == c.token })
		events = events[i+1:]
	}
	return events, cmp.Or(position, c.token), nil
}

// follows reports whether the next page is requested at once. r is the request that has brought this
// one, and position the one after it.
func (c *pollConn) follows(r pageRequest, position string, page *pageResponse) (again bool, err error) {
	page.full = page.More || page.Next != "" || c.poll.Limit > 0 && len(page.Events) >= c.poll.Limit
	blank := len(page.Events) == 0
	next := pageRequest{token: position, url: page.Next}
	c.next = ""
	loops := page.full && c.run.returns(r, next)
	switch {
	case !page.full || blank && !page.More:
		c.blank, c.stuck = 0, 0
		return false, nil
	case loops:
		if c.stuck++; c.stuck > 1 {
			return false, c.violation(page, "the page reports more events, but its position does not advance")
		}
		return false, nil
	case blank:
		c.blank++
	default:
		c.blank = 0
	}
	c.next = next.url
	return c.blank == 0 || c.blank%maxBlank != 0, nil
}

// schedule sets when the next request is due.
func (c *pollConn) schedule(start time.Time, page *pageResponse, again bool) {
	now := time.Now()
	c.due = now
	c.atEnd = page.outcome != refused && (!page.full || len(page.Events) == 0 && !page.More)
	if !again {
		c.due = start.Add(jittered(max(cmp.Or(c.poll.Interval, defaultInterval), page.pace)))
		c.run = cycle{}
	}
	if asked := now.Add(jittered(page.wait)); asked.After(c.due) {
		c.due = asked
	}
}

// jittered adds up to a tenth, so that the clients of a server do not ask at the same time.
func jittered(d time.Duration) time.Duration {
	return d + min(rand.N(d/10+1), math.MaxInt64-d)
}

func (c *pollConn) violation(page *pageResponse, reason string) *ProtocolError {
	u, _ := parseURL(c.poll.URL) // checked by Validate
	return &ProtocolError{Reason: reason, Origin: originOf(u), Header: page.Header, Body: beginning(page.Body)}
}

func (p *Poll) maxPage() int {
	if p.MaxPage < 0 {
		return math.MaxInt - 1
	}
	return cmp.Or(p.MaxPage, decode.DefaultMaxFrame)
}

// A cycle recognizes requests that repeat while a server reports more events, by Brent's algorithm:
// each request is compared with one earlier one, which is replaced after 1, 2, 4, ... requests.
type cycle struct {
	mark         pageRequest
	steps, limit int
}

// returns reports whether the next request of a run, which follows r, was made before in this run.
func (l *cycle) returns(r, next pageRequest) bool {
	if l.limit == 0 {
		l.mark, l.limit = r, 1
	}
	if next == l.mark || next == r {
		return true
	}
	if l.steps++; l.steps == l.limit {
		l.mark, l.steps, l.limit = next, 0, 2*l.limit
	}
	return false
}

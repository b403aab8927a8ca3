package transporttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

const (
	prompt  = time.Second            // limit for Close by the contract, and for what must end
	tardy   = 5 * time.Second        // the same by the real clock, on a busy machine
	patient = 10 * time.Second       // for what has no limit in the contract
	settle  = 20 * time.Millisecond  // for a call to start waiting
	half    = 500 * time.Millisecond // less than a pause between bursts: only buffered data arrives
)

// A probe is one Transport under test. Its methods end the test if the Transport does not
// behave as they expect.
type probe struct {
	t         testing.TB
	transport transport.Transport
	script    Script
	prompt    time.Duration // for what the contract requires to return within one second
	conns     []*conn

	mu    sync.Mutex
	texts []string // of every error
}

// A conn is a connection of the Transport.
type conn struct {
	*probe
	conn   *transport.Session
	end    context.CancelCauseFunc
	opened bool
	seen   int // events read
}

func newProbe(t testing.TB, s Script, prompt time.Duration) *probe {
	return &probe{t: t, script: s, prompt: prompt}
}

// release closes all connections and checks the error texts of the Transport.
func (p *probe) release() {
	defer unmark()
	for _, c := range p.conns {
		defer c.end(nil)
		if c.opened {
			c.close()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.texts {
		if strings.Contains(text, "secret-") {
			p.t.Errorf("the text of an error shows a token or a payload: %s", text)
		}
	}
}

// A pending is a call that may not have returned yet.
type pending struct {
	what  string
	begun time.Time
	done  chan struct{}
	took  time.Duration
	err   error
	panic any
}

// begin calls f on a new goroutine.
func (p *probe) begin(what string, f func() error) *pending {
	c := &pending{what: what, begun: time.Now(), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer func() {
			c.took, c.panic = time.Since(c.begun), recover()
		}()
		if c.err = f(); c.err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.texts = append(p.texts, c.err.Error())
		}
	}()
	return c
}

// wait returns the result of the call, which must return within limit from now on.
func (p *probe) wait(c *pending, limit time.Duration) error {
	p.t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		p.t.Fatalf("%s has not returned after %v", c.what, time.Since(c.begun).Round(time.Millisecond))
	}
	if c.panic != nil {
		p.t.Fatalf("%s panics: %v", c.what, c.panic)
	}
	return c.err
}

// attempt calls Open and returns its result, whether or not it is an error.
func (p *probe) attempt(ctx context.Context, token string, limit time.Duration) (*conn, error) {
	p.t.Helper()
	ctx, end := context.WithCancelCause(ctx)
	c := &conn{probe: p, end: end}
	p.conns = append(p.conns, c)
	err := p.wait(p.begin("Open", func() (err error) {
		c.conn, err = p.transport.Open(ctx, token)
		return err
	}), limit)
	if err != nil {
		return nil, err
	}
	if c.conn == nil {
		p.t.Fatalf("Open returned neither a Conn nor an error")
	}
	c.opened = true
	return c, nil
}

// open connects. For n = 0 there is no token; otherwise it resumes after the n-th event.
func (p *probe) open(n int) *conn {
	p.t.Helper()
	token := ""
	if n > 0 {
		token = p.script.Events[n-1].Token
	}
	c, err := p.attempt(context.Background(), token, patient)
	if err != nil {
		p.t.Fatalf("Open, after event %d: %v", n, err)
	}
	c.seen = n
	return c
}

// read calls Read and returns its result, whether or not it is an error.
func (c *conn) read(limit time.Duration) (transport.Message, error) {
	c.t.Helper()
	return c.readAs("Read", limit)
}

func (c *conn) readAs(what string, limit time.Duration) (m transport.Message, err error) {
	c.t.Helper()
	err = c.wait(c.begin(what, func() (err error) {
		m, err = c.next()
		return err
	}), limit)
	return m, err
}

// next calls Read with a message that was used before.
func (c *conn) next() (m transport.Message, err error) {
	settled := false
	m = transport.Message{
		Data: []byte(stale), Type: stale, ID: stale, Token: stale, Delivery: &transport.Delivery{}, Kind: 99, Delay: -1,
		Gap: &transport.Gap{Reason: stale}, More: true, Settle: func(error) { settled = true }, Attempt: -1,
		CaughtUp: true, Parts: []transport.Message{{}},
	}
	used := m
	if err = c.conn.Read(&m); err != nil {
		return transport.Message{}, err
	}
	if m.Settle != nil {
		m.Settle(nil)
	}
	for name, unset := range map[string]bool{
		"Data": string(m.Data) == stale, "Type": m.Type == stale, "ID": m.ID == stale, "Token": m.Token == stale,
		"Kind": m.Kind == used.Kind, "Delay": m.Delay == used.Delay, "Gap": m.Gap == used.Gap,
		"Attempt": m.Attempt == used.Attempt, "Settle": settled, "CaughtUp": m.CaughtUp,
	} {
		if unset {
			c.t.Errorf("Read does not set Message.%s", name)
		}
	}
	if m.Parts != nil || m.Delivery != nil {
		c.t.Errorf("Read returned a message with Parts or a Delivery; want neither from a Conn")
	}
	return m, nil
}

// stale fills a message that was used before.
const stale = "Stale"

// event reads the next event and skips messages that are not events.
func (c *conn) event() transport.Message {
	c.t.Helper()
	for {
		m, err := c.read(patient)
		if err != nil {
			c.t.Fatalf("Read returned %v; want event %d of %d", err, c.seen+1, len(c.script.Events))
		}
		if m.Kind == decode.KindData {
			c.compare(m)
			return m
		}
	}
}

// compare checks that m is the next event of the script.
func (c *conn) compare(m transport.Message) {
	c.t.Helper()
	if c.seen == len(c.script.Events) {
		c.t.Fatalf("Read returned %s after the last event", brief(m.Data))
	}
	want := c.script.Events[c.seen]
	c.seen++
	switch {
	case string(m.Data) != want.Data:
		c.t.Fatalf("event %d is %s; want %s", c.seen, brief(m.Data), brief([]byte(want.Data)))
	case m.ID != "" && m.ID != want.Token:
		c.t.Fatalf("event %d has the ID %q; want %q, or none", c.seen, m.ID, want.Token)
	case m.Token != "" && m.Token != want.Token:
		c.t.Fatalf("event %d has the Token %q; want %q, or none", c.seen, m.Token, want.Token)
	case m.Gap != nil:
		c.t.Fatalf("event %d has a Gap (%s), but nothing is missing", c.seen, m.Gap.Reason)
	}
}

// rest reads all remaining events.
func (c *conn) rest() {
	c.t.Helper()
	for c.seen < len(c.script.Events) {
		c.event()
	}
}

// failure reads until Read returns an error. There must be no event before it.
func (c *conn) failure(limit time.Duration) error {
	c.t.Helper()
	for range 100 {
		m, err := c.read(limit)
		if err != nil {
			return err
		}
		if m.Kind == decode.KindData {
			c.t.Fatalf("Read returned %s; want an error", brief(m.Data))
		}
	}
	c.t.Fatalf("Read returns messages without end; want an error")
	return nil
}

// drained reads until Read returns an error, whatever comes before it.
func (c *conn) drained() error {
	c.t.Helper()
	for range len(c.script.Events) + 100 {
		if _, err := c.read(c.prompt); err != nil {
			return err
		}
	}
	c.t.Fatalf("Read returns messages without end; want an error")
	return nil
}

// fail reads until Read returns an error. It may run on its own goroutine.
func (c *conn) fail() error {
	for {
		if _, err := c.next(); err != nil {
			return err
		}
	}
}

// close calls Close, which must be prompt.
func (c *conn) close() {
	c.t.Helper()
	c.wait(c.begin("Close", c.conn.Close), c.prompt)
}

func isEnd(err error) bool { return errors.Is(err, transport.ErrComplete) }

func brief(data []byte) string {
	if len(data) > 40 {
		return fmt.Sprintf("%.40q... (%d bytes)", data, len(data))
	}
	return fmt.Sprintf("%q", data)
}

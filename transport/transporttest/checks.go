package transporttest

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

var checks = []check{
	{"a working Transport is valid", Script{Events: events(1)}, valid},
	{"a bad option is reported", Script{Misconfigured: true}, misconfigured},
	{"events come in order", Script{Events: events(50, 0, 10, 3000, 1)}, order},
	{"data is the receiver's own", Script{Events: events(40, 1, 20, 500, 40_000)}, owned},
	{"More is true", Script{Events: bursts(3, 4)}, more},
	{"a pause of MaxPause does no harm", Script{Events: bursts(2, 4)}, pause},
	{"Open resumes after the token", Script{Events: events(6), Resumes: true}, resume},
	{"Open works again after Close", Script{}, reopen},
	{"Open works again and again", Script{Events: events(20), Resumes: true}, readAndReopen},
	{"OnExpiring calls once at most", Script{Events: events(3), Ending: EndingClean}, expiring},
	{"a refused connection is an error", Script{Dial: DialRefused, Events: events(1)}, dialRefused},
	{"a clean end is io.EOF", Script{Events: events(3), Ending: EndingClean}, goodEnd},
	{"a break is an error", Script{Events: events(3), Ending: EndingCut}, cut},
	{"a partial message is io.ErrUnexpectedEOF", Script{Events: events(3), Ending: EndingPartial}, partial},
	{"a complete feed is ErrComplete", Script{Events: events(3), Ending: EndingComplete}, complete},
	{"Read after an error is an error", Script{Events: events(3), Ending: EndingClean}, failsOn},
	{"Read after a break is an error", Script{Events: events(3), Ending: EndingCut}, failsOn},
	{"Close unblocks Read", Script{Events: events(2)}, closeUnblocks},
	{"Close may be called often", Script{Events: events(2)}, closeOften},
	{"Close leaves events unread", Script{Events: events(64, 60_000)}, closeUnread},
	{"the context's end ends Read", Script{Events: events(2)}, contextEndsRead},
	{"the context's end ends Read with events unread", Script{Events: events(100)}, contextEndsReading},
	{"the context's end ends Open", Script{Dial: DialSilent}, contextEndsOpen},
	{"an ended context opens nothing", Script{Events: events(1)}, contextOver},
}

// bursts returns n bursts of m events, a second apart.
func bursts(n, m int) []Event {
	all := events(n * m)
	for i := m; i < len(all); i += m {
		all[i].Pause = time.Second
	}
	return all
}

func valid(p *probe) {
	if err := p.transport.Validate(); err != nil {
		p.t.Errorf("Validate returned %v; want nil", err)
	}
	p.open(0).close()
}

// misconfigured also checks that Open does not depend on a call of Validate.
func misconfigured(p *probe) {
	if p.transport.Validate() == nil {
		p.t.Errorf("Validate returned nil; want an error")
	}
	if _, err := p.attempt(context.Background(), "", patient); err == nil || isEnd(err) {
		p.t.Errorf("Open returned %v; want an error", err)
	}
}

func order(p *probe) { p.open(0).rest() }

// pause leaves the connection unread for as long as it tolerates. By the real clock that is not
// tested to the end.
func pause(p *probe) {
	c := p.open(0)
	c.event()
	d := c.conn.MaxPause
	switch {
	case d < 0:
		p.t.Errorf("Session.MaxPause is %v; want zero for no limit", d)
		return
	case d == 0:
		d = time.Hour
	}
	if p.prompt == tardy {
		d = min(d, time.Second)
	}
	time.Sleep(d - d/10)
	c.rest()
}

// owned keeps the data of every event, appends to it and overwrites it. No other event may
// change.
func owned(p *probe) {
	c := p.open(0)
	kept := make([][]byte, len(p.script.Events))
	for i := range kept {
		m := c.event() // compares
		kept[i] = m.Data
		if room := m.Data[:cap(m.Data)]; len(room) > len(m.Data) {
			clear(room[len(m.Data):]) // what append would write to
		}
	}
	for i, data := range kept {
		if string(data) != p.script.Events[i].Data {
			p.t.Fatalf("the data of event %d was overwritten later", i+1)
		}
		clear(data)
	}
}

// more reads what More promises. It must be available: the next burst is a second away.
func more(p *probe) {
	c := p.open(0)
	for promised := false; c.seen < len(p.script.Events) || promised; {
		what, limit := "Read", patient
		if promised {
			what, limit = "Read, after a message with More,", half
		}
		m, err := c.readAs(what, limit)
		if err != nil {
			p.t.Fatalf("Read: %v", err)
		}
		if m.Kind == decode.KindData {
			c.compare(m)
		}
		promised = m.More
	}
}

// resume opens earlier and earlier positions, so that remembering the last position does not
// help.
func resume(p *probe) {
	c := p.open(0)
	c.rest()
	c.close()
	for n := len(p.script.Events) - 1; n > 0; n-- {
		c := p.open(n)
		c.rest()
		if !c.conn.Resumes {
			p.t.Errorf("Session.Resumes is false, but the connection started after the token")
		}
		c.close()
	}
}

// expiring registers for the announcement of the end, which must not block.
func expiring(p *probe) {
	c := p.open(0)
	var replaced atomic.Int32
	if c.conn.OnExpiring != nil {
		p.wait(p.begin("OnExpiring", func() error {
			c.conn.OnExpiring(func() { replaced.Add(1) })
			return nil
		}), p.prompt)
	}
	c.rest()
	c.failure(patient)
	c.close()
	if n := replaced.Load(); n > 1 {
		p.t.Errorf("replace was called %d times; want once at most", n)
	}
}

func reopen(p *probe) {
	for range 10 {
		p.open(0).close()
	}
}

// readAndReopen reads one event from each connection.
func readAndReopen(p *probe) {
	for n := range p.script.Events {
		c := p.open(n)
		c.event()
		c.close()
	}
}

func dialRefused(p *probe) {
	for _, token := range []string{"", p.script.Events[0].Token} {
		if _, err := p.attempt(context.Background(), token, patient); err == nil || isEnd(err) || err == io.EOF {
			p.t.Errorf("Open returned %v; want a failure", err)
		}
	}
}

func goodEnd(p *probe) {
	c := p.open(0)
	c.rest()
	if err := c.failure(patient); !errors.Is(err, io.EOF) {
		p.t.Errorf("Read returned %v; want io.EOF", err)
	}
}

func cut(p *probe) {
	c := p.open(0)
	c.rest()
	if err := c.failure(patient); errors.Is(err, io.EOF) || isEnd(err) {
		p.t.Errorf("Read returned %v; want an error for a broken connection", err)
	}
}

func partial(p *probe) {
	c := p.open(0)
	c.rest()
	if err := c.failure(patient); !errors.Is(err, io.ErrUnexpectedEOF) {
		p.t.Errorf("Read returned %v; want io.ErrUnexpectedEOF", err)
	}
}

// complete also accepts a feed that reports its end only to the next attempt.
func complete(p *probe) {
	c := p.open(0)
	c.rest()
	err := c.failure(patient)
	c.close()
	if errors.Is(err, io.EOF) {
		_, err = p.attempt(context.Background(), p.script.Events[len(p.script.Events)-1].Token, patient)
	}
	if !isEnd(err) {
		p.t.Errorf("the end is %v; want ErrComplete from Read, or io.EOF and then ErrComplete from Open", err)
	}
}

func failsOn(p *probe) {
	c := p.open(0)
	c.rest()
	c.failure(patient)
	for range 3 {
		if m, err := c.read(c.prompt); err == nil {
			p.t.Fatalf("Read after an error returned %s", brief(m.Data))
		}
	}
	c.close()
	if m, err := c.read(c.prompt); err == nil {
		p.t.Fatalf("Read after Close returned %s", brief(m.Data))
	}
}

func closeUnblocks(p *probe) {
	c := p.open(0)
	c.rest()
	reading := p.begin("Read, after Close,", c.fail)
	time.Sleep(settle)
	select {
	case <-reading.done:
		p.t.Fatalf("Read of a silent connection returned %v", reading.err)
	default:
	}
	c.close()
	if err := p.wait(reading, p.prompt); errors.Is(err, io.EOF) || isEnd(err) {
		p.t.Errorf("Read returned %v because of Close; want an error that does not blame the server", err)
	}
	if m, err := c.read(c.prompt); err == nil {
		p.t.Errorf("Read after Close returned %s", brief(m.Data))
	}
}

func closeOften(p *probe) {
	c := p.open(0)
	c.rest()
	var calls []*pending
	var ready sync.WaitGroup
	ready.Add(8)
	for range 8 {
		calls = append(calls, p.begin("Close, with others at once,", func() error {
			ready.Done()
			ready.Wait()
			return c.conn.Close()
		}))
	}
	for _, call := range calls {
		p.wait(call, p.prompt)
	}
	c.close()
	c.close()
}

// closeUnread closes while the peer is blocked in a write.
func closeUnread(p *probe) {
	c := p.open(0)
	c.event()
	time.Sleep(settle)
	c.close()
	if err := c.drained(); errors.Is(err, io.EOF) || isEnd(err) {
		p.t.Errorf("Read returned %v because of Close; want an error that does not blame the server", err)
	}
}

// errOver is the cause with which the checks cancel a context.
var errOver = errors.New("transporttest: context ended")

func contextEndsRead(p *probe) {
	c := p.open(0)
	c.rest()
	reading := p.begin("Read, after the end of the context,", c.fail)
	time.Sleep(settle)
	c.end(errOver)
	if err := p.wait(reading, p.prompt); !errors.Is(err, errOver) {
		p.t.Errorf("Read returned %v; want the cause of the context", err)
	}
	if _, err := c.read(c.prompt); err == nil {
		p.t.Errorf("Read after the end of the context returned a message")
	}
}

func contextEndsReading(p *probe) {
	c := p.open(0)
	c.event()
	time.Sleep(settle)
	c.end(errOver)
	if err := c.drained(); !errors.Is(err, errOver) {
		p.t.Errorf("Read returned %v; want the cause of the context", err)
	}
}

func contextEndsOpen(p *probe) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	opening := p.begin("Open, after the end of the context,", func() error {
		c, err := p.transport.Open(ctx, "")
		if err == nil {
			defer c.Close()
			err = c.Read(new(transport.Message)) // some transports notice a silent peer only here
		}
		return err
	})
	time.Sleep(settle)
	cancel(errOver)
	if err := p.wait(opening, p.prompt); !errors.Is(err, errOver) {
		p.t.Errorf("Open returned %v; want the cause of the context", err)
	}
}

func contextOver(p *probe) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errOver)
	if _, err := p.attempt(ctx, p.script.Events[0].Token, p.prompt); !errors.Is(err, errOver) {
		p.t.Errorf("Open returned %v; want the cause of the context", err)
	}
}

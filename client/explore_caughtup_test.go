package client_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	scripts "github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/transport"
)

// Over each wire, an event or a bookmark marks the end of the initial state. In each process, whatever
// reconnects, gaps and restarts there are, the end is reported once, by the Trace and by an
// event, and CaughtUp returns nil only after every event before it is handled.
func TestExploreCaughtUp(t *testing.T) {
	exploreEveryWire(t, scripts.Options{Lossy: true}, func(trial *scripts.Trial, src transport.Transport, token func(client.Event) string) {
		s := newShop(trial, token)
		s.mark = 1 + trial.Rand.IntN(wireEvents-1)
		bookmark := trial.Rand.IntN(2) == 0
		s.done[s.mark] = bookmark
		var marks, traced atomic.Int32
		src = marked(src, func(m *transport.Message) error {
			switch n := place(decode.Field(m.Data, "id")); {
			case n == s.mark && bookmark:
				m.Kind = decode.KindPosition
				fallthrough
			case n >= s.mark && !bookmark: // each later event is the last one at present, too
				m.CaughtUp = true
				marks.Add(1)
			}
			return nil
		})
		s.options.Trace = &client.Trace{CaughtUp: func() { traced.Add(1) }}
		for ctx := range trial.Processes() {
			marks.Store(0)
			traced.Store(0)
			p := s.begin(ctx, src)
			if p == nil {
				continue
			}
			var left []int // events that are not handled when CaughtUp returns
			caughtUp := make(chan error, 1)
			go func() {
				err := p.sub.CaughtUp(trial.Context())
				if err == nil {
					left = s.left(s.mark)
				}
				caughtUp <- err
			}()
			p.loop(s.dice())
			time.Sleep(time.Nanosecond) // until CaughtUp has returned
			p.sub.Close()
			err := <-caughtUp
			for _, i := range left {
				if p.copies[i] != nil { // otherwise the next event reports the loss
					trial.Errorf("CaughtUp returned nil before event %d was handled", i)
				}
			}
			if n := traced.Load(); n > 1 || p.complete.Load() && (n == 0 || err != nil) {
				trial.Errorf("the end of the initial state was traced %d times, and CaughtUp returned %v, want one and nil", n, err)
			}
			if p.complete.Load() && marks.Load() > 0 && p.caught == 0 {
				trial.Errorf("no event has CaughtUp, although the mark was received")
			}
			if p.over.Load() {
				break
			}
		}
		s.checkDone(wireEvents, "at the end")
	})
}

// checkCaughtUp checks that event n, which has CaughtUp, is the first one, and after those of the
// initial state. The caller holds mu.
func (p *worker) checkCaughtUp(n int) {
	if n < p.mark || p.caught > 0 && p.caught != n {
		p.Errorf("event %d has CaughtUp, after event %d; want one from %d", n, p.caught, p.mark)
	}
	p.caught = n
	for i := p.first; i < n; i++ {
		if p.copies[i] == nil && !p.done[i] {
			p.Errorf("event %d has CaughtUp before event %d is delivered", n, i)
		}
	}
}

// marked returns src with an OnMessage.
func marked(src transport.Transport, onMessage func(*transport.Message) error) transport.Transport {
	switch s := src.(type) {
	case *transport.HTTP:
		s.OnMessage = onMessage
	case *transport.WebSocket:
		s.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			setID(nil, m)
			return onMessage(m)
		}
	default:
		return marking{src, onMessage}
	}
	return src
}

type marking struct {
	transport.Transport
	onMessage func(*transport.Message) error
}

func (d marking) Open(ctx context.Context, token string) (*transport.Session, error) {
	s, err := d.Transport.Open(ctx, token)
	if err == nil {
		s.Conn = markingConn{s.Conn, d.onMessage}
	}
	return s, err
}

type markingConn struct {
	transport.Conn
	onMessage func(*transport.Message) error
}

func (c markingConn) Read(m *transport.Message) error {
	if err := c.Conn.Read(m); err != nil {
		return err
	}
	return c.onMessage(m)
}

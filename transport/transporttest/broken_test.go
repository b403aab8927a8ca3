package transporttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// A recorder is a testing.TB that records what a check finds.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	found    []string
	skipped  bool
	cleanups []func()
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = append(r.found, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skip(...any) {
	r.skipped = true
	runtime.Goexit()
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// do runs f, which may end its goroutine.
func do(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// findings returns what the check finds in the Transport.
func (c check) findings(t testing.TB, start Start) []string {
	r := &recorder{TB: t}
	do(func() { c.verify(r, start, prompt) })
	for _, f := range slices.Backward(r.cleanups) {
		do(f)
	}
	return r.found
}

// bent is a Transport that Open makes from a function.
type bent func(ctx context.Context, token string) (transport.Conn, error)

func (b bent) Validate() error { return nil }

func (b bent) Open(ctx context.Context, token string) (*transport.Session, error) {
	c, err := b(ctx, token)
	if c == nil || err != nil {
		return nil, err
	}
	return &transport.Session{Conn: c, Resumes: true}, nil
}

func readFrom(c transport.Conn) (m transport.Message, err error) {
	err = c.Read(&m)
	return m, err
}

type bentConn struct {
	transport.Conn
	read  func() (transport.Message, error)
	close func() error
}

func (c *bentConn) Read(m *transport.Message) (err error) {
	if c.read == nil {
		return c.Conn.Read(m)
	}
	*m, err = c.read()
	return err
}

func (c *bentConn) Close() error {
	if c.close != nil {
		return c.close()
	}
	return c.Conn.Close()
}

// bend changes each connection of a memory.
func bend(change func(m *memory, c *bentConn, gone <-chan struct{})) func(*memory, <-chan struct{}) transport.Transport {
	return func(m *memory, gone <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			inner, err := m.open(ctx, token)
			if err != nil {
				return nil, err
			}
			c := &bentConn{Conn: inner}
			change(m, c, gone)
			return c, nil
		})
	}
}

// bendRead changes what Read returns. n is the number of Reads before.
func bendRead(change func(c *memoryConn, n int, msg transport.Message, err error) (transport.Message, error)) func(*memory, <-chan struct{}) transport.Transport {
	return bend(func(_ *memory, c *bentConn, _ <-chan struct{}) {
		n := 0
		c.read = func() (transport.Message, error) {
			msg, err := readFrom(c.Conn)
			n++
			return change(c.Conn.(*memoryConn), n-1, msg, err)
		}
	})
}

// bendMessage changes how Read copies a message to the caller's.
func bendMessage(read func(m *transport.Message, read transport.Message)) func(*memory, <-chan struct{}) transport.Transport {
	return func(m *memory, _ <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			c, err := m.open(ctx, token)
			if err != nil {
				return nil, err
			}
			return &copyingConn{c, read}, nil
		})
	}
}

type copyingConn struct {
	transport.Conn
	copy func(m *transport.Message, read transport.Message)
}

func (c *copyingConn) Read(m *transport.Message) error {
	read, err := readFrom(c.Conn)
	if err == nil {
		c.copy(m, read)
	}
	return err
}

// bentSession is a Transport with its own Session.
type bentSession struct {
	*memory
	change func(*transport.Session)
}

func (b bentSession) Open(ctx context.Context, token string) (*transport.Session, error) {
	s, err := b.memory.Open(ctx, token)
	if err == nil {
		b.change(s)
	}
	return s, err
}

// validated is a Transport with its own result of Validate.
type validated struct {
	*memory
	err error
}

func (v validated) Validate() error { return v.err }

func bendSession(change func(*transport.Session)) func(*memory, <-chan struct{}) transport.Transport {
	return func(m *memory, _ <-chan struct{}) transport.Transport { return bentSession{m, change} }
}

// instead returns got where Read fails with want.
func instead(want, got error) func(*memory, <-chan struct{}) transport.Transport {
	return bendRead(func(_ *memoryConn, _ int, msg transport.Message, err error) (transport.Message, error) {
		if err == want {
			err = got
		}
		return msg, err
	})
}

// Each broken Transport is caught by its check. What it does may continue until gone is closed.
var broken = []struct {
	name, check string
	bend        func(m *memory, gone <-chan struct{}) transport.Transport
}{
	{"rejects a valid configuration", "a working Transport is valid", func(m *memory, _ <-chan struct{}) transport.Transport {
		return validated{m, errors.New("invalid")}
	}},
	{"accepts a bad option", "a bad option is reported", func(m *memory, _ <-chan struct{}) transport.Transport {
		return validated{m, nil}
	}},
	{"opens with a bad option", "a bad option is reported", func(m *memory, _ <-chan struct{}) transport.Transport {
		return validated{&memory{}, errors.New("invalid")}
	}},
	{"has a negative MaxPause", "a pause of MaxPause does no harm", bendSession(func(s *transport.Session) { s.MaxPause = -1 })},
	{"loses a connection in a pause", "a pause of MaxPause does no harm", func(m *memory, _ <-chan struct{}) transport.Transport {
		return bentSession{m, func(s *transport.Session) {
			last := time.Now()
			inner := s.Conn
			s.MaxPause = time.Minute
			s.Conn = &bentConn{Conn: inner, read: func() (transport.Message, error) {
				if time.Since(last) > 10*time.Second {
					return transport.Message{}, io.ErrUnexpectedEOF
				}
				msg, err := readFrom(inner)
				last = time.Now()
				return msg, err
			}}
		}}
	}},
	{"swaps two events", "events come in order", func(m *memory, _ <-chan struct{}) transport.Transport {
		m.script.Events = slices.Clone(m.script.Events)
		m.script.Events[3], m.script.Events[4] = m.script.Events[4], m.script.Events[3]
		return m
	}},
	{"loses an event", "events come in order", func(m *memory, _ <-chan struct{}) transport.Transport {
		m.script.Events = slices.Delete(slices.Clone(m.script.Events), 3, 4)
		return m
	}},
	{"repeats an event", "events come in order", func(m *memory, _ <-chan struct{}) transport.Transport {
		m.script.Events = slices.Insert(slices.Clone(m.script.Events), 3, m.script.Events[3])
		return m
	}},
	{"names another id", "events come in order", bendRead(func(_ *memoryConn, _ int, msg transport.Message, err error) (transport.Message, error) {
		msg.ID += "0"
		return msg, err
	})},
	{"reports a gap without a loss", "events come in order", bendRead(func(_ *memoryConn, n int, msg transport.Message, err error) (transport.Message, error) {
		if n == 1 {
			msg.Gap = &transport.Gap{Reason: transport.GapNotice}
		}
		return msg, err
	})},
	{"leaves Gap unset", "events come in order", bendMessage(func(m *transport.Message, read transport.Message) {
		read.Gap = m.Gap
		*m = read
	})},
	{"leaves Settle unset", "events come in order", bendMessage(func(m *transport.Message, read transport.Message) {
		read.Settle = m.Settle
		*m = read
	})},
	{"leaves Attempt unset", "events come in order", bendMessage(func(m *transport.Message, read transport.Message) {
		read.Attempt = m.Attempt
		*m = read
	})},
	{"leaves Parts unset", "events come in order", bendMessage(func(m *transport.Message, read transport.Message) {
		read.Parts = m.Parts
		*m = read
	})},
	{"leaves Delivery unset", "events come in order", bendMessage(func(m *transport.Message, read transport.Message) {
		read.Delivery = m.Delivery
		*m = read
	})},
	{"leaves Kind and Delay unset", "events come in order", bendMessage(func(m *transport.Message, read transport.Message) {
		read.Kind, read.Delay = m.Kind, m.Delay
		*m = read
	})},
	{"does not resume", "Open resumes after the token", bendSession(func(s *transport.Session) { s.Resumes = false })},
	{"expires twice", "OnExpiring calls once at most", bendSession(func(s *transport.Session) {
		s.OnExpiring = func(replace func()) { replace(); replace() }
	})},
	{"blocks in OnExpiring", "OnExpiring calls once at most", bendSession(func(s *transport.Session) {
		s.OnExpiring = func(func()) { time.Sleep(time.Minute) }
	})},
	{"takes a long time to connect", "events come in order", func(m *memory, _ <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			time.Sleep(time.Minute)
			return m.open(ctx, token)
		})
	}},
	{"returns neither a Conn nor an error", "events come in order", func(*memory, <-chan struct{}) transport.Transport {
		return bent(func(context.Context, string) (transport.Conn, error) { return nil, nil })
	}},
	{"panics", "events come in order", bend(func(_ *memory, c *bentConn, _ <-chan struct{}) {
		c.read = func() (transport.Message, error) { panic("unexpected") }
	})},
	{"reuses memory", "data is the receiver's own", bend(func(_ *memory, c *bentConn, _ <-chan struct{}) {
		memory := make([]byte, 1<<20)
		c.read = func() (transport.Message, error) {
			msg, err := readFrom(c.Conn)
			msg.Data = memory[:copy(memory, msg.Data)]
			return msg, err
		}
	})},
	{"returns slices of shared memory", "data is the receiver's own", bend(func(_ *memory, c *bentConn, _ <-chan struct{}) {
		slab, ahead := make([]byte, 0, 1<<20), []transport.Message(nil)
		c.read = func() (transport.Message, error) {
			for msg, err := readFrom(c.Conn); len(ahead) < 3; msg, err = readFrom(c.Conn) {
				slab = append(slab, msg.Data...)
				msg.Data = slab[len(slab)-len(msg.Data):] // up to the end of the slab
				if ahead = append(ahead, msg); err != nil || !msg.More {
					break
				}
			}
			msg := ahead[0]
			ahead = ahead[1:]
			return msg, nil
		}
	})},
	{"sets More too often", "More is true", bendRead(func(_ *memoryConn, _ int, msg transport.Message, err error) (transport.Message, error) {
		msg.More = true
		return msg, err
	})},
	{"sets More on the last message", "More is true", bendRead(func(c *memoryConn, _ int, msg transport.Message, err error) (transport.Message, error) {
		msg.More = msg.More || len(c.events) == 0
		return msg, err
	})},
	{"ignores the token", "Open resumes after the token", func(m *memory, _ <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, _ string) (transport.Conn, error) { return m.open(ctx, "") })
	}},
	{"resumes with the event of the token", "Open resumes after the token", func(m *memory, _ <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			before := ""
			if token == "" {
				return m.open(ctx, token)
			}
			for _, e := range m.script.Events {
				if e.Token == token {
					break
				}
				before = e.Token
			}
			return m.open(ctx, before)
		})
	}},
	{"resumes where the last connection ended", "Open resumes after the token", func(m *memory, _ <-chan struct{}) transport.Transport {
		last := ""
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			last = max(last, token)
			return m.open(ctx, last)
		})
	}},
	{"resumes only once", "Open works again and again", func(m *memory, _ <-chan struct{}) transport.Transport {
		n := 0
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			if n++; n > 2 {
				return nil, errors.New("resumed before")
			}
			return m.open(ctx, token)
		})
	}},
	{"connects only once", "Open works again after Close", func(m *memory, _ <-chan struct{}) transport.Transport {
		var once sync.Once
		return bent(func(ctx context.Context, token string) (c transport.Conn, err error) {
			err = errors.New("in use")
			once.Do(func() { c, err = m.open(ctx, token) })
			return c, err
		})
	}},
	{"retries", "a refused connection is an error", func(m *memory, _ <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			time.Sleep(time.Minute)
			return m.open(ctx, token)
		})
	}},
	{"reports a refusal as the end of the feed", "a refused connection is an error", func(*memory, <-chan struct{}) transport.Transport {
		return bent(func(context.Context, string) (transport.Conn, error) { return nil, transport.ErrComplete })
	}},
	{"shows the token in the error of Open", "a refused connection is an error", func(m *memory, _ <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			return nil, fmt.Errorf("GET http://feed.test/?since=%s: refused", token)
		})
	}},
	{"shows the data in the error of Read", "a break is an error", bend(func(m *memory, c *bentConn, _ <-chan struct{}) {
		c.read = func() (transport.Message, error) {
			msg, err := readFrom(c.Conn)
			if err != nil {
				err = fmt.Errorf("after %s: %w", m.script.Events[0].Data, err)
			}
			return msg, err
		}
	})},
	{"reports a clean end as a break", "a clean end is io.EOF", instead(io.EOF, io.ErrUnexpectedEOF)},
	{"reports a clean end as the end of the feed", "a clean end is io.EOF", instead(io.EOF, transport.ErrComplete)},
	{"reports a break as a clean end", "a break is an error", instead(io.ErrUnexpectedEOF, io.EOF)},
	{"reports a break as the end of the feed", "a break is an error", instead(io.ErrUnexpectedEOF, transport.ErrComplete)},
	{"reports a partial message as a clean end", "a partial message is io.ErrUnexpectedEOF", instead(io.ErrUnexpectedEOF, io.EOF)},
	{"delivers a partial message", "a partial message is io.ErrUnexpectedEOF", bendRead(func(_ *memoryConn, n int, msg transport.Message, err error) (transport.Message, error) {
		if err == io.ErrUnexpectedEOF && n == 3 {
			return transport.Message{Data: []byte(`{"id"`)}, nil
		}
		return msg, err
	})},
	{"never ends", "a complete feed is ErrComplete", func(m *memory, gone <-chan struct{}) transport.Transport {
		tr := instead(transport.ErrComplete, io.EOF)(m, gone)
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			c, err := tr.(bent)(ctx, token)
			if err == transport.ErrComplete {
				err = errors.New("status 204")
			}
			return c, err
		})
	}},
	{"forgets its error", "Read after an error is an error", bendRead(func(_ *memoryConn, n int, msg transport.Message, err error) (transport.Message, error) {
		if n > 3 {
			return transport.Message{}, nil
		}
		return msg, err
	})},
	{"blocks after a break", "Read after a break is an error", bend(func(_ *memory, c *bentConn, gone <-chan struct{}) {
		failed := false
		c.read = func() (transport.Message, error) {
			if failed {
				<-gone
			}
			msg, err := readFrom(c.Conn)
			failed = err != nil
			return msg, err
		}
	})},
	{"does not wake Read", "Close unblocks Read", bend(func(_ *memory, c *bentConn, gone <-chan struct{}) {
		c.close = func() error {
			go func() { // after the check
				<-gone
				c.Conn.Close()
			}()
			return nil
		}
	})},
	{"does not wait in Read", "Close unblocks Read", bendRead(func(c *memoryConn, n int, msg transport.Message, err error) (transport.Message, error) {
		if n == 1 {
			c.Close()
		}
		return msg, err
	})},
	{"reports Close as a clean end", "Close unblocks Read", instead(errMemory, io.EOF)},
	{"reports Close as the end of the feed", "Close leaves events unread", instead(errMemory, transport.ErrComplete)},
	{"continues after Close", "Close leaves events unread", bend(func(_ *memory, c *bentConn, _ <-chan struct{}) {
		first := c.Conn
		c.read = func() (transport.Message, error) {
			if msg, err := readFrom(first); err == nil {
				return msg, nil
			}
			return transport.Message{}, nil
		}
	})},
	{"waits for a silent peer in Close", "Close unblocks Read", bend(func(_ *memory, c *bentConn, _ <-chan struct{}) {
		c.close = func() error {
			time.Sleep(5 * time.Second)
			return c.Conn.Close()
		}
	})},
	{"panics in a second Close", "Close may be called often", bend(func(_ *memory, c *bentConn, _ <-chan struct{}) {
		closed := make(chan struct{})
		c.close = func() error {
			defer c.Conn.Close()
			close(closed)
			return nil
		}
	})},
	{"blocks concurrent calls of Close", "Close may be called often", bend(func(_ *memory, c *bentConn, gone <-chan struct{}) {
		var once sync.Once
		c.close = func() error {
			err := io.EOF
			once.Do(func() { err = nil })
			if err != nil {
				<-gone
			}
			return c.Conn.Close()
		}
	})},
	{"ignores the context in Read", "the context's end ends Read", func(m *memory, gone <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			return m.open(context.WithoutCancel(ctx), token)
		})
	}},
	{"hides the cause in Read", "the context's end ends Read", instead(errOver, context.Canceled)},
	{"continues after the end of the context", "the context's end ends Read", bend(func(_ *memory, c *bentConn, _ <-chan struct{}) {
		failed := false
		c.read = func() (transport.Message, error) {
			if failed {
				return transport.Message{}, nil
			}
			msg, err := readFrom(c.Conn)
			failed = err != nil
			return msg, err
		}
	})},
	{"ignores the context with events unread", "the context's end ends Read with events unread", func(m *memory, _ <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			return m.open(context.WithoutCancel(ctx), token)
		})
	}},
	{"ignores the context in Open", "the context's end ends Open", func(m *memory, gone <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			<-gone
			return nil, context.Cause(ctx)
		})
	}},
	{"hides the cause in Open", "the context's end ends Open", func(*memory, <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
	}},
	{"connects after the end of the context", "an ended context opens nothing", func(m *memory, _ <-chan struct{}) transport.Transport {
		return bent(func(ctx context.Context, token string) (transport.Conn, error) {
			return m.open(context.WithoutCancel(ctx), token)
		})
	}},
	{"leaks a goroutine", "events come in order", bend(func(_ *memory, _ *bentConn, gone <-chan struct{}) {
		go func() { <-gone }()
	})},
}

func TestBrokenTransportsAreCaught(t *testing.T) {
	caught := make(map[string]bool)
	for _, b := range broken {
		caught[b.check] = true
		i := slices.IndexFunc(checks, func(c check) bool { return c.name == b.check })
		if i < 0 {
			t.Errorf("%s: got no check %q, want one", b.name, b.check)
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			gone := make(chan struct{})
			defer time.Sleep(time.Hour)
			defer close(gone)
			found := checks[i].findings(t, func(_ testing.TB, s Script) transport.Transport {
				return b.bend(&memory{script: s}, gone)
			})
			if len(found) == 0 {
				t.Errorf("%s: got no finding of %q, want one", b.name, b.check)
			}
			t.Logf("%s: %s", b.name, strings.Join(found, "; "))
		})
	}
	for _, c := range checks {
		if !caught[c.name] {
			t.Errorf("%q: got no broken Transport that it catches, want one", c.name)
		}
	}
}

// The Transport that the table breaks passes every check.
func TestMemoryKeepsTheContract(t *testing.T) {
	for _, bend := range []func(*memory, <-chan struct{}) transport.Transport{
		func(m *memory, _ <-chan struct{}) transport.Transport { return m },
		bendSession(func(s *transport.Session) { s.Conn = &bentConn{Conn: s.Conn} }),
	} {
		start := func(_ testing.TB, s Script) transport.Transport { return bend(&memory{script: s}, nil) }
		RunInBubble(t, start)
		for _, c := range checks {
			synctest.Test(t, func(t *testing.T) {
				if found := c.findings(t, start); found != nil {
					t.Errorf("%s: got findings %q, want none", c.name, found)
				}
			})
		}
	}
}

func TestNilTransportSkipsTheCheck(t *testing.T) {
	r := &recorder{TB: t}
	do(func() { checks[0].verify(r, func(testing.TB, Script) transport.Transport { return nil }, prompt) })
	if !r.skipped || len(r.found) > 0 {
		t.Errorf("got skipped %t, findings %q, want true and none", r.skipped, r.found)
	}
}

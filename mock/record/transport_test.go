package record_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/mock/record"
	"github.com/steadfeed/steadfeed/transport"
)

var update = flag.Bool("update", false, "rewrite the golden files of recordings")

const goldenRecording = "testdata/story.txt"

// story is a script with everything that a recording can show.
func story() []mock.Step {
	return []mock.Step{
		mock.Pause(1500 * time.Millisecond), mock.Event("7", `{"fruit":"apple"}`), mock.Event("", "two\nlines"),
		mock.Pause(20*time.Second + 400*time.Microsecond), mock.Keepalive(), wiretest.Retry(2500 * time.Millisecond),
		mock.Frame(decode.Frame{Kind: decode.KindComment, Data: []byte("a comment")}), wiretest.Position("page 2"),
		mock.Pause(time.Minute), mock.Drop(),
		mock.Status(503, http.Header{"Retry-After": {"30"}, "X-Secret": {"secret"}}), mock.Refuse(), mock.Status(200),
		mock.Frame(decode.Frame{Type: "update", ID: `"8"`, Data: []byte("ends in a space ")}), mock.Event("9", "\x00\xff"), mock.Event("10", "\n"),
		mock.End(), mock.Event("11", ""), mock.Stall(),
		mock.Event("12", "tab\tinside"), mock.Event("13", "# no comment"), mock.Pause(time.Hour), mock.Complete(),
	}
}

// A reader reads a feed to its end. It reconnects after a second.
type reader struct {
	token string
	seen  []string // kind, type, id, token, data and delay of each message
	at    []time.Duration
	errs  []string

	forgets bool // its token
}

func (c *reader) run(t *testing.T, tr transport.Transport) {
	t.Helper()
	start := time.Now()
	for range 1000 {
		err := c.connect(t.Context(), tr, start)
		if errors.Is(err, transport.ErrComplete) {
			return
		}
		c.errs = append(c.errs, err.Error())
		time.Sleep(time.Second)
	}
	t.Error("got no ErrComplete after 1000 connections, want it")
}

// silence is the error of a connection that timed out.
type silence struct{}

func (silence) Error() string { return "silence" }
func (silence) Timeout() bool { return true }

// impatient is a Transport whose connections time out after 61 minutes.
type impatient struct{ transport.Transport }

type impatientConn struct{ transport.Conn }

func (i impatient) Validate() error { return nil }

func (i impatient) Open(ctx context.Context, token string) (*transport.Session, error) {
	c, err := i.Transport.Open(ctx, token)
	if err != nil {
		return nil, err
	}
	c.Conn = impatientConn{c.Conn}
	return c, nil
}

func (c impatientConn) Read(m *transport.Message) (err error) {
	*m, err = c.message()
	return err
}

func (c impatientConn) message() (transport.Message, error) {
	var late sync.Once
	idle := false
	timer := time.AfterFunc(61*time.Minute, func() { late.Do(func() { idle = true; c.Close() }) })
	defer timer.Stop()
	m, err := wiretest.ReadFrom(c.Conn)
	late.Do(func() {})
	if err != nil && idle {
		err = silence{}
	}
	return m, err
}

func (c *reader) connect(ctx context.Context, tr transport.Transport, start time.Time) error {
	conn, err := tr.Open(ctx, c.token)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		m, err := wiretest.ReadFrom(conn)
		if err != nil {
			return err
		}
		gap := ""
		if m.Gap != nil {
			gap = fmt.Sprint(m.Gap.Reason, m.Gap.Missed)
		}
		c.seen = append(c.seen, fmt.Sprintf("%d %s %q %q %q %v %s", m.Kind, m.Type, m.ID, m.Token, m.Data, m.Delay, gap))
		c.at = append(c.at, time.Since(start))
		if m.Token != "" && !c.forgets {
			c.token = m.Token
		}
	}
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// recordingOf returns the recording of what the reader reads from tr.
func recordingOf(t *testing.T, tr transport.Transport) (c reader, recording string) {
	t.Helper()
	var out bytes.Buffer
	c.run(t, record.Transport(impatient{tr}, &out, nil))
	return c, out.String()
}

func TestRecordingGolden(t *testing.T) {
	var got string
	synctest.Test(t, func(t *testing.T) { _, got = recordingOf(t, mock.NewFeed(story()...)) })
	if *update {
		if err := os.WriteFile(goldenRecording, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenRecording)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("recorded:\n%s\nwant:\n%s", got, want)
	}
}

// A recording contains no secrets of requests, responses and errors.
func TestRecordingContainsNoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(
			mock.Status(401, http.Header{"Www-Authenticate": {"secret"}}), mock.Status(410), mock.Refuse(), mock.Status(302),
			mock.Event("1", "a"), mock.Drop(), mock.Status(500), mock.Complete(),
		)
		srv := mock.NewServer(feed.Handler(decode.NDJSON))
		defer srv.Close()
		var out bytes.Buffer
		rec := record.Transport(&transport.HTTP{
			URL: "http://user:secret@feed.test/secret?key=secret", Client: srv.Client(), Resume: transport.ResumeQuery("secret"),
			Header: http.Header{"Authorization": {"secret"}, "Cookie": {"secret"}},
		}, &out, nil)
		for _, token := range []string{"secret", "secret", "secret", "secret", "", "secret\n", "secret"} {
			if c, err := rec.Open(t.Context(), token); err == nil {
				for err == nil {
					_, err = wiretest.ReadFrom(c)
				}
				c.Close()
			}
		}
		if got := out.String(); strings.Contains(got, "secret") || !strings.Contains(got, "status code=401 after=?\n") {
			t.Errorf("recorded:\n%s\nwant no secret and the status without a time", got)
		}
	})
}

// A position is recorded as Redact has changed it, where a later connection resumes too.
func TestTokenOfAndRedact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("s1", `{"seq":"s1","mail":"a@example.com"}`), mock.Event("s2", `{"seq":"s2"}`), mock.End())
		srv := mock.NewServer(feed.Handler(decode.NDJSON))
		defer srv.Close()
		var out bytes.Buffer
		var data []byte
		from := &transport.HTTP{URL: "http://feed.test", Client: srv.Client(), Resume: transport.ResumeQuery("since")}
		rec := record.Transport(from, &out, &record.Options{
			TokenOf: func(m transport.Message) string { return decode.Field(m.Data, "seq") },
			Redact: func(m transport.Message) transport.Message {
				copy(m.Data[min(12, len(m.Data)):], bytes.Repeat([]byte("*"), 100))
				m.Token = strings.ToUpper(m.Token)
				return m
			},
		})
		c := wiretest.Open(t, rec, "")
		m, err := wiretest.ReadFrom(c)
		if err != nil || m.ID != "" {
			t.Fatalf("Read: got %+v, %v, want a message without an id", m, err)
		}
		data = m.Data
		wiretest.ReadFrom(c)
		wiretest.ReadFrom(c)
		wiretest.Open(t, rec, "s1").Close()
		want := "steadfeed recording 1\n1 0s open\n1 0s event token=S1\n\t{\"seq\":\"s1\",***********************\n1 0s event token=S2\n\t{\"seq\":\"s2\"}\n1 0s eof\n2 0s open after=S1\n2 0s closed\n"
		if out.String() != want {
			t.Errorf("recorded:\n%s\nwant:\n%s", &out, want)
		}
		if want := `{"seq":"s1","mail":"a@example.com"}`; string(data) != want {
			t.Errorf("data after Redact: got %s, want %s", data, want)
		}
	})
}

// A disk is a Writer that is full after some calls.
type disk struct{ left int }

var errFull = errors.New("no space left")

func (d *disk) Write(b []byte) (int, error) {
	if d.left--; d.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestOutFails(t *testing.T) {
	final := func(err error) bool {
		var r interface{ Retryable() bool }
		return errors.Is(err, errFull) && errors.As(err, &r) && !r.Retryable()
	}
	for n := range 3 {
		synctest.Test(t, func(t *testing.T) {
			rec := record.Transport(mock.NewFeed(mock.Event("1", "a"), mock.Event("2", "b")), &disk{n}, nil)
			c, err := rec.Open(t.Context(), "")
			for range n {
				if err != nil {
					t.Fatal(err)
				}
				_, err = wiretest.ReadFrom(c)
			}
			if !final(err) {
				t.Errorf("with room for %d lines: got %v, want a permanent error of Out", n, err)
			}
			if n > 0 {
				if _, err := wiretest.ReadFrom(c); !final(err) {
					t.Errorf("the next Read: got %v, want a permanent error of Out", err)
				}
				c.Close()
			}
			if _, err := rec.Open(t.Context(), ""); !final(err) {
				t.Errorf("the next Open: got %v, want a permanent error of Out", err)
			}
		})
	}
	if _, err := record.Transport(nil, nil, nil).Open(t.Context(), ""); err == nil {
		t.Error("Open without fields: got no error, want one")
	}
}

func TestSessionIsKept(t *testing.T) {
	inner := opener(func() (transport.Conn, error) { return new(richConn), nil })
	s, err := record.Transport(inner, new(bytes.Buffer), nil).Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	called := false
	s.OnExpiring(func() { called = true })
	if s.MaxPause != time.Second || !called || s.Resumes {
		t.Errorf("got MaxPause %v, replace called: %t, Resumes: %t, want 1s, true, false", s.MaxPause, called, s.Resumes)
	}
}

// A message that cannot be recorded is settled with the error, and its connection is closed.
func TestMessageThatCannotBeWritten(t *testing.T) {
	for n := range 2 {
		inner := new(richConn)
		rec := record.Transport(opener(func() (transport.Conn, error) { return inner, nil }), &disk{n}, nil)
		c, err := rec.Open(t.Context(), "")
		if err == nil {
			wiretest.ReadFrom(c)
			if !errors.Is(inner.settled, errFull) {
				t.Errorf("got settled with %v, want the error of Out", inner.settled)
			}
			c.Close()
		}
		if inner.closed != 1 {
			t.Errorf("with room for %d lines: got %d closes, want 1", n, inner.closed)
		}
	}
}

// A message that arrives after Close is not recorded.
func TestReadAfterClose(t *testing.T) {
	var out bytes.Buffer
	c := wiretest.Open(t, record.Transport(opener(func() (transport.Conn, error) { return new(richConn), nil }), &out, nil), "")
	c.Close()
	if m, err := wiretest.ReadFrom(c); err != nil || m.ID != "1" {
		t.Errorf("Read: got %+v, %v, want message 1", m, err)
	}
	if _, err := record.Replay(&out, 0); err != nil {
		t.Error(err)
	}
}

// An attempt that the consumer cancels is not recorded.
func TestCanceledAttempt(t *testing.T) {
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	rec := record.Transport(opener(func() (transport.Conn, error) {
		cancel()
		return nil, ctx.Err()
	}), &out, nil)
	if _, err := rec.Open(ctx, ""); err != context.Canceled || out.Len() > 0 {
		t.Errorf("got error %v, recording %q, want the context's error and no recording", err, &out)
	}
}

// Rounding errors do not add up.
func TestTimesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var script []mock.Step
		for range 10 {
			script = append(script, mock.Pause(600*time.Microsecond), mock.Event("", "a"))
		}
		_, recording := recordingOf(t, mock.NewFeed(append(script, mock.Complete())...))
		again, err := record.Replay(strings.NewReader(recording), 1)
		if err != nil {
			t.Fatal(err)
		}
		if c, _ := recordingOf(t, mock.NewFeed(again...)); c.at[9] != 6*time.Millisecond {
			t.Errorf("the last event came after %v, want 6ms:\n%s", c.at[9], recording)
		}
	})
}

type opener func() (transport.Conn, error)

func (o opener) Validate() error { return nil }

func (o opener) Open(context.Context, string) (*transport.Session, error) {
	c, err := o()
	if err != nil {
		return nil, err
	}
	return &transport.Session{Conn: c, MaxPause: time.Second, OnExpiring: func(replace func()) { replace() }}, nil
}

// A richConn counts its calls, and Read returns a message even after Close.
type richConn struct {
	settled error
	closed  int
}

func (c *richConn) Read(m *transport.Message) (err error) {
	*m, err = c.message()
	return err
}

func (c *richConn) message() (transport.Message, error) {
	return transport.Message{ID: "1", Settle: func(err error) { c.settled = err }}, nil
}

func (c *richConn) Close() error {
	c.closed++
	return nil
}

func TestValidate(t *testing.T) {
	for name, tr := range map[string]transport.Transport{
		"from": record.Transport(nil, io.Discard, nil),
		"out":  record.Transport(mock.NewFeed(), nil, nil),
		"URL":  record.Transport(&transport.HTTP{URL: "no scheme"}, io.Discard, nil),
	} {
		if err := tr.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Validate: got %v, want an error about %s", err, name)
		}
	}
	if err := record.Transport(mock.NewFeed(), io.Discard, nil).Validate(); err != nil {
		t.Errorf("Validate: got %v, want nil", err)
	}
}

// A slowWriter takes time in Write.
type slowWriter struct{}

func (slowWriter) Write(b []byte) (int, error) {
	time.Sleep(time.Second)
	return len(b), nil
}

// Of two connections that write at once, the second waits without stopping the bubble's clock.
func TestConcurrentWritesToASlowWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := record.Transport(mock.NewFeed(mock.Event("1", "a"), mock.Event("2", "b")), slowWriter{}, nil)
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() {
				conn, err := r.Open(t.Context(), "")
				if err != nil {
					t.Error(err)
					return
				}
				conn.Close()
			})
		}
		group.Wait()
	})
}

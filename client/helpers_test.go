package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

func subscribe(t *testing.T, src transport.Source, o *client.Options) *client.Subscription {
	t.Helper()
	sub, err := client.Subscribe(t.Context(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// data reads the loop to its end, or up to n events if n > 0, which are acknowledged.
func data(t *testing.T, sub *client.Subscription, n int) (got []string, end error) {
	t.Helper()
	for ev, err := range sub.Events() {
		if err != nil {
			return got, err
		}
		got = append(got, string(ev.Data))
		if len(got) == n {
			ev.Ack()
			break
		}
	}
	return got, nil
}

func tokens(f *mock.Feed) (tokens []string) {
	for _, a := range f.Attempts() {
		tokens = append(tokens, a.Token)
	}
	return tokens
}

func events(ids ...string) (steps []mock.Step) {
	for _, id := range ids {
		steps = append(steps, mock.Event(id, "data "+id))
	}
	return steps
}

func script(parts ...[]mock.Step) *mock.Feed { return mock.NewFeed(slices.Concat(parts...)...) }

func steps(s ...mock.Step) []mock.Step { return s }

// position is a step that moves the position to resume from, without an event.
func position(id string) mock.Step {
	return mock.Frame(decode.Frame{Kind: decode.KindPosition, ID: id})
}

// unavailable asks the client to wait ten minutes.
var unavailable = mock.Status(503, http.Header{"Retry-After": {"600"}})

func want[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// deaf is a Transport that never finishes an attempt to connect.
type deaf struct{}

func (deaf) Validate() error { return nil }

func (deaf) Open(ctx context.Context, _ string) (*transport.Session, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// endless is a connection that always has another event.
type endless struct{ reads *int }

func (e endless) Validate() error { return nil }

func (e endless) Open(context.Context, string) (*transport.Session, error) {
	return &transport.Session{Conn: e, Resumes: true}, nil
}

func (e endless) Read(m *transport.Message) (err error) {
	*m, err = e.message()
	return err
}

func (e endless) message() (transport.Message, error) {
	*e.reads++
	return transport.Message{Data: make([]byte, 100), ID: fmt.Sprint(*e.reads), Token: fmt.Sprint(*e.reads), More: true}, nil
}

func (e endless) Close() error { return nil }

type stored struct {
	Epoch  uint64
	Owner  string
	Write  uint64
	Token  string
	Events uint64
	Saved  time.Time
}

// readRecord reads the record of the subscription "n".
func readRecord(t *testing.T, s client.Store) (r stored) {
	t.Helper()
	data, _, err := s.Load(context.Background(), "n")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatalf("the record is not JSON: %v\n%s", err, data)
	}
	return r
}

func named(s client.Store) *client.Options { return &client.Options{Name: "n", Store: s} }

// logbook is a slog.Handler that keeps the records above Debug.
type logbook struct {
	mu    sync.Mutex
	lines []logLine
}

func (b *logbook) Enabled(_ context.Context, level slog.Level) bool { return level > slog.LevelDebug }

func (b *logbook) WithAttrs([]slog.Attr) slog.Handler { return b }

func (b *logbook) WithGroup(string) slog.Handler { return b }

func (b *logbook) Handle(_ context.Context, r slog.Record) error {
	line := logLine{time.Now(), r.Level, r.Message, map[string]slog.Value{}}
	r.Attrs(func(a slog.Attr) bool {
		line.attrs[a.Key] = a.Value
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
	return nil
}

func (b *logbook) logger() *slog.Logger { return slog.New(b) }

// brief returns the records as "LEVEL text".
func (b *logbook) brief() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		list = append(list, fmt.Sprintf("%v %s", l.level, l.text))
	}
	return list
}

type logLine struct {
	at    time.Time
	level slog.Level
	text  string
	attrs map[string]slog.Value
}

func (l logLine) String() string { return fmt.Sprintf("%v %s %v", l.level, l.text, l.attrs) }

// refusing is a feed whose attempts to connect fail with the result of a function.
type refusing func() error

func (f refusing) Validate() error { return nil }

func (f refusing) Open(context.Context, string) (*transport.Session, error) { return nil, f() }

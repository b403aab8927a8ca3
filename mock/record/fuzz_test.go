package record_test

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/mock/record"
	"github.com/steadfeed/steadfeed/transport"
)

// FuzzReplay checks that a valid recording plays the same after it is recorded again.
func FuzzReplay(f *testing.F) {
	golden, err := os.ReadFile(goldenRecording)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte("steadfeed recording 1\n1 0s open after=?\n1 1ms event id=\"a\\nb\" gap=notice quoted\n\t\"\\x00\"\n1 0s silent\n2 0s end\n"))
	f.Add([]byte("steadfeed recording 1\n1 0s open\n1 0s event id=a token=1\n1 0s event id=b token=\"\"\n1 0s position token=2\n1 0s end\n"))
	f.Fuzz(func(t *testing.T, recording []byte) {
		script, err := record.Replay(bytes.NewReader(recording), 0)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "record: line ") {
				t.Errorf("got error %v, want one that names the line", err)
			}
			return
		}
		if len(script) > 200 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			// Without a token the feed repeats nothing by itself.
			first, second := reader{forgets: true}, reader{forgets: true}
			var once bytes.Buffer
			feed := mock.NewFeed(append(slices.Clone(script), mock.Complete())...)
			first.run(t, record.Transport(impatient{feed}, &once, nil))
			again, err := record.Replay(bytes.NewReader(once.Bytes()), 0)
			if err != nil {
				t.Fatalf("%v in:\n%s", err, &once)
			}
			second.run(t, impatient{mock.NewFeed(again...)})
			equal(t, second.seen, first.seen)
		})
	})
}

// FuzzTransport checks that a recorded feed is replayed to the byte.
func FuzzTransport(f *testing.F) {
	f.Add("1", "1", "update", []byte("{}"), int64(1000))
	f.Add("1", "", "", []byte("{}"), int64(1000))
	f.Add("", "2", "", []byte("{}"), int64(1000))
	f.Add("", "", "", []byte("a\n\nb "), int64(1))
	f.Add(`"`, "=", "\\", []byte("\r\n\x00\xff"), int64(1<<40))
	f.Fuzz(func(t *testing.T, id, token, kind string, data []byte, ns int64) {
		if ns < 0 || ns > int64(24*time.Hour) {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			first, recording := recordingOf(t, positioned{token, mock.NewFeed(
				mock.Pause(time.Duration(ns)%time.Hour),
				mock.Frame(decode.Frame{ID: id, Type: kind, Data: data}),
				mock.Frame(decode.Frame{Kind: decode.KindComment, Data: data}),
				wiretest.Retry(time.Duration(ns)), wiretest.Position(id), mock.Complete(),
			)})
			script, err := record.Replay(strings.NewReader(recording), 1)
			if err != nil {
				t.Fatalf("%v in:\n%s", err, recording)
			}
			second, again := recordingOf(t, mock.NewFeed(script...))
			equal(t, second.seen, first.seen)
			if again != recording {
				t.Errorf("recorded again:\n%s\nwant:\n%s", again, recording)
			}
		})
	})
}

// A positioned is a Transport whose messages have one token, whatever their ids are.
type positioned struct {
	token string
	transport.Transport
}

type positionedConn struct {
	token string
	transport.Conn
}

func (p positioned) Open(ctx context.Context, token string) (*transport.Session, error) {
	s, err := p.Transport.Open(ctx, token)
	if err == nil {
		s.Conn = positionedConn{p.token, s.Conn}
	}
	return s, err
}

func (c positionedConn) Read(m *transport.Message) error {
	err := c.Conn.Read(m)
	if m.Kind == decode.KindData || m.Kind == decode.KindPosition {
		m.Token = c.token
	}
	return err
}

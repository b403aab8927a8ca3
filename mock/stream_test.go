package mock_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A raw connection is recorded, and what it brought is played again.
func TestRecordStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			for _, text := range []string{"id: 1\ndata: one\n\n", ":\n", "id: 2\ndata: two\n\n"} {
				io.WriteString(far, text)
				time.Sleep(time.Second)
			}
			far.Close()
		}()
		var out bytes.Buffer
		rec := &mock.Recorder{Transport: mock.Stream(near, decode.SSE{}), Out: &out}
		conn, err := rec.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = readFrom(conn)
		}
		if err != io.EOF {
			t.Errorf("the end is %v", err)
		}
		conn.Close()
		if _, err := rec.Open(t.Context(), ""); !errors.Is(err, transport.ErrEnd) {
			t.Errorf("a second attempt: %v", err)
		}
		script, err := mock.Replay(&out, 1)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		feed := mock.NewFeed(script...)
		if conn, err = feed.Open(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var got []string
		for {
			m, err := readFrom(conn)
			if err != nil {
				break
			}
			if m.Kind == decode.KindData {
				got = append(got, m.ID+string(m.Data))
			}
		}
		if s := strings.Join(got, " "); s != "1one 2two" || time.Since(start) != 3*time.Second {
			t.Errorf("replayed %q in %v", s, time.Since(start))
		}
	})
}

func TestStreamEnds(t *testing.T) {
	cause := errors.New("enough")
	for name, end := range map[string]struct {
		by   func(conn transport.Conn, cancel context.CancelCauseFunc)
		want error
	}{
		"Close":   {func(conn transport.Conn, _ context.CancelCauseFunc) { conn.Close() }, net.ErrClosed},
		"context": {func(_ transport.Conn, cancel context.CancelCauseFunc) { cancel(cause) }, cause},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			conn, err := mock.Stream(near, decode.NDJSON{}).Open(ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Second, func() { end.by(conn, cancel) })
			if _, err := readFrom(conn); !errors.Is(err, end.want) {
				t.Errorf("%s: %v", name, err)
			}
			conn.Close()
			conn.Close()
		})
	}
	conn, err := mock.Stream(strings.NewReader("5\nhalf"), decode.LengthPrefixed{}).Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := readFrom(conn); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a frame: %v", err)
	}
}

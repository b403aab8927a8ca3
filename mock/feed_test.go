package mock_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// open connects and closes when the test ends.
func open(t *testing.T, tr transport.Transport, token string) transport.Conn {
	t.Helper()
	c, err := tr.Open(t.Context(), token)
	if err != nil {
		t.Fatalf("Open(%q): %v", token, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// read returns the data of the next n messages.
func read(t *testing.T, c transport.Conn, n int) []string {
	t.Helper()
	var all []string
	for range n {
		m, err := c.Read()
		if err != nil {
			t.Fatalf("Read after %q: %v", all, err)
		}
		all = append(all, string(m.Data))
	}
	return all
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func wantErr(t *testing.T, c transport.Conn, want error) {
	t.Helper()
	if m, err := c.Read(); !errors.Is(err, want) {
		t.Errorf("Read: %+v, %v; want %v", m, err, want)
	}
}

func TestFeedScriptGoesOnWithTheNextConnection(t *testing.T) {
	feed := mock.NewFeed(
		mock.Event("1", "a"), mock.Drop(),
		mock.Status(503, http.Header{"retry-after": {"30"}}),
		mock.Refuse(),
		mock.Event("2", "b"), mock.End(),
		mock.Malformed([]byte("{")),
		mock.Event("3", "c"), mock.Complete(),
		mock.Event("4", "never"),
	)
	c := open(t, feed, "")
	equal(t, read(t, c, 1), []string{"a"})
	wantErr(t, c, io.ErrUnexpectedEOF)
	wantErr(t, c, io.ErrUnexpectedEOF)

	var status *transport.StatusError
	if _, err := feed.Open(t.Context(), "1"); !errors.As(err, &status) || status.Code != 503 || status.Header.Get("Retry-After") != "30" {
		t.Errorf("Open: %v, want 503 with Retry-After 30", err)
	}
	var op interface{ Timeout() bool }
	if _, err := feed.Open(t.Context(), "1"); !errors.As(err, &op) {
		t.Errorf("Open: %v, want a network error", err)
	}
	c = open(t, feed, "1")
	equal(t, read(t, c, 1), []string{"b"})
	wantErr(t, c, io.EOF)

	c = open(t, feed, "2")
	var malformed *decode.FrameError
	if _, err := c.Read(); !errors.As(err, &malformed) || !malformed.Protocol() {
		t.Errorf("Read: %v, want a malformed frame", err)
	}
	c = open(t, feed, "2")
	equal(t, read(t, c, 1), []string{"c"})
	wantErr(t, c, transport.ErrEnd)
	if _, err := feed.Open(t.Context(), "3"); err != transport.ErrEnd {
		t.Errorf("Open after the end: %v", err)
	}
	c = open(t, feed, "1") // who lags behind still gets the rest
	equal(t, read(t, c, 2), []string{"b", "c"})
	wantErr(t, c, transport.ErrEnd)
}

func TestFeedReplay(t *testing.T) {
	feed := mock.NewFeed(
		mock.Event("1", "a"), mock.Keepalive(), mock.Event("", "b"), mock.Event("2", "c"), mock.Position("p"), mock.Event("3", "d"),
	)
	read(t, open(t, feed, ""), 6)
	for _, tt := range []struct {
		token string
		want  []string
	}{
		{"1", []string{"b", "c", "d", "live"}},
		{"2", []string{"d", "live"}},
		{"p", []string{"d", "live"}},
		{"3", []string{"live"}},
		{"", []string{"live"}},
	} {
		c := open(t, feed, tt.token)
		feed.Publish(mock.Keepalive(), mock.Event("", "live"))
		var got []string
		for len(got) < len(tt.want) {
			m, err := c.Read()
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind == decode.Data {
				got = append(got, string(m.Data))
			}
		}
		equal(t, got, tt.want)
		c.Close()
		read(t, open(t, feed, "3"), 1)
	}
}

func TestFeedUnknownToken(t *testing.T) {
	feed := mock.NewFeed(mock.Event("1", "a"))
	_, err := feed.Open(t.Context(), "0")
	var r interface{ RejectsToken() bool }
	if !errors.As(err, &r) || !r.RejectsToken() {
		t.Errorf("Open: %v, want a rejected token", err)
	}
}

func TestFeedPauseIsTimeOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		feed := mock.NewFeed(mock.Event("1", "a"), mock.Pause(3*day), mock.Event("2", "b"), mock.Stall(), mock.Event("3", "c"))
		start := time.Now()
		c := open(t, feed, "")
		read(t, c, 1)
		ctx, cancel := context.WithTimeout(t.Context(), day)
		defer cancel()
		c2, err := feed.Open(ctx, "1")
		if err != nil {
			t.Fatal(err)
		}
		go c.Read() // begins the pause
		if _, err := c2.Read(); err != context.DeadlineExceeded {
			t.Errorf("Read: %v, want the cause of its context", err)
		}
		c2.Close()
		c.Close()
		c = open(t, feed, "1")
		equal(t, read(t, c, 1), []string{"b"})
		if d := time.Since(start); d != 3*day {
			t.Errorf("the pause took %v", d)
		}
		go func() {
			time.Sleep(7 * day)
			c.Close()
		}()
		if _, err := c.Read(); err == nil || time.Since(start) != 10*day {
			t.Errorf("the stall ended after %v: %v", time.Since(start), err)
		}
		equal(t, read(t, open(t, feed, "2"), 1), []string{"c"})
	})
}

package record_test

import (
	"bytes"
	"context"
	"math"
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

// replayed returns the script of the golden recording.
func replayed(t *testing.T, speed float64) []mock.Step {
	t.Helper()
	f, err := os.Open(goldenRecording)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	script, err := record.Replay(f, speed)
	if err != nil {
		t.Fatal(err)
	}
	return script
}

// A consumer of a replay receives what the recorded one received, at the same times.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, recording := recordingOf(t, mock.NewFeed(story()...))
		for _, tt := range []struct {
			speed float64
			scale time.Duration
		}{{1, 1}, {0, 0}, {10, 10}, {math.Inf(1), 0}} {
			script, err := record.Replay(strings.NewReader(recording), tt.speed)
			if err != nil {
				t.Fatal(err)
			}
			again, twice := recordingOf(t, mock.NewFeed(script...))
			equal(t, again.seen, first.seen)
			equal(t, again.errs, first.errs)
			if tt.speed == 1 && twice != recording {
				t.Errorf("the recording of the replay:\n%s\nwant:\n%s", twice, recording)
			}
			// The first event comes after 1.5 s of the feed's time.
			want := 1500 * time.Millisecond
			if tt.scale != 1 {
				want = want / max(tt.scale, 1) * min(tt.scale, 1)
			}
			if again.at[0] != want {
				t.Errorf("at speed %v the first event came after %v, want %v", tt.speed, again.at[0], want)
			}
		}
	})
}

// A recording of one wire can be replayed on every other.
func TestReplayOnEveryWire(t *testing.T) {
	for from, wire := range wiretest.Wires {
		var out bytes.Buffer
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(
				wiretest.Object(1), mock.Pause(time.Minute), mock.Keepalive(), wiretest.Object(2), mock.Drop(), mock.Status(503), mock.Refuse(),
				wiretest.Object(3), mock.End(), wiretest.Object(4), mock.Pause(time.Hour), wiretest.Object(5), mock.Complete(),
			)
			rec := record.Transport(wire(t, feed), &out, &record.Options{
				TokenOf: func(m transport.Message) string { return decode.Field(m.Data, "id") },
			})
			var c wiretest.Consumer
			if err := c.Run(t.Context(), rec); err != transport.ErrComplete {
				t.Error(err)
			}
		})
		for to, wire := range wiretest.Wires {
			synctest.Test(t, func(t *testing.T) {
				script, err := record.Replay(bytes.NewReader(out.Bytes()), 2)
				if err != nil {
					t.Fatalf("%v in:\n%s", err, &out)
				}
				feed := mock.NewFeed(script...)
				start := time.Now()
				var c wiretest.Consumer
				if err := c.Run(t.Context(), wire(t, feed)); err != transport.ErrComplete {
					t.Errorf("%s to %s: got %v, want %v", from, to, err, transport.ErrComplete)
				}
				equal(t, c.Seen, wiretest.IDs(1, 5))
				if d := time.Since(start).Round(time.Minute); d != 31*time.Minute {
					t.Errorf("%s to %s: took %v, want 31 minutes", from, to, d)
				}
				var tokens []string
				for _, a := range feed.Attempts()[:5] {
					tokens = append(tokens, a.Token)
				}
				if want := []string{"", "2", "2", "2", "3"}; !slices.Equal(tokens, want) {
					t.Errorf("%s to %s: got tokens %q, want %q", from, to, tokens, want)
				}
			})
		}
	}
}

// A close code is recorded and replayed, its reason is not.
func TestReplayCloseCodes(t *testing.T) {
	var out, again bytes.Buffer
	var codes []string
	story := func(feed *mock.Feed, out *bytes.Buffer) {
		synctest.Test(t, func(t *testing.T) {
			source := wiretest.WebSocket(t, feed.WebSocket(nil, nil), "ws")
			source.OnConnect = func(_ context.Context, s *transport.Socket, _ string) error {
				m, err := s.Receive() // an event, or the close frame
				if err == nil {
					s.Unread(m)
				}
				return err
			}
			rec := record.Transport(source, out, nil)
			for range 4 {
				c, err := rec.Open(t.Context(), "")
				for err == nil {
					_, err = wiretest.ReadFrom(c)
				}
				codes = append(codes, err.Error())
				if c != nil {
					c.Close()
				}
			}
		})
	}
	story(mock.NewFeed(
		wiretest.Object(2), mock.Close(4001, "secret"), mock.Close(4002, "secret"), wiretest.Object(3), mock.Close(1001, ""), wiretest.Object(4), mock.Drop(),
	), &out)
	const want = "steadfeed recording 1\n1 0s open\n1 0s event\n\t{\"id\":\"2\"}\n1 0s close code=4001\n2 0s open\n2 0s close code=4002\n" +
		"3 0s open\n3 0s event\n\t{\"id\":\"3\"}\n3 0s eof\n4 0s open\n4 0s event\n\t{\"id\":\"4\"}\n4 0s cut\n"
	if out.String() != want {
		t.Errorf("recorded:\n%s\nwant:\n%s", &out, want)
	}
	script, err := record.Replay(strings.NewReader(want), 1)
	if err != nil {
		t.Fatal(err)
	}
	first := codes
	codes = nil
	story(mock.NewFeed(script...), &again)
	equal(t, codes, first)
	if again.String() != want {
		t.Errorf("recorded again:\n%s\nwant:\n%s", &again, want)
	}
}

// A replay resumes from tokens, not from ids, and delivers both. On a wire the id is the token.
func TestReplayKeepsIDsAndTokens(t *testing.T) {
	const recording = "steadfeed recording 1\n1 0s open\n1 0s event id=a token=1\n\tone\n1 0s event id=b token=\"\"\n\ttwo\n" +
		"1 0s event token=3\n\tthree\n1 0s event id=4\n\tfour\n1 0s end\n"
	script, err := record.Replay(strings.NewReader(recording), 1)
	if err != nil {
		t.Fatal(err)
	}
	type position struct{ id, token string }
	for name, want := range map[string][]position{
		"no wire":     {{"a", "1"}, {"b", ""}, {"", "3"}, {"4", "4"}},
		"SSE, HTTP/1": {{"1", "1"}, {"", ""}, {"3", "3"}, {"4", "4"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(script...)
			tr := wiretest.Wires[name](t, feed)
			c := wiretest.Open(t, tr, "")
			var got []position
			for m, err := wiretest.ReadFrom(c); err == nil; m, err = wiretest.ReadFrom(c) {
				got = append(got, position{m.ID, m.Token})
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
			equal(t, wiretest.Read(t, wiretest.Open(t, tr, "1"), 3), []string{"two", "three", "four"})
			equal(t, wiretest.Read(t, wiretest.Open(t, tr, "3"), 1), []string{"four"})
			for _, id := range []string{"a", "b"} {
				if _, err := tr.Open(t.Context(), id); err == nil {
					t.Errorf("%s: Open with the id %s: got no error, want one", name, id)
				}
			}
		})
	}
}

func TestReplayGap(t *testing.T) {
	const recording = "steadfeed recording 1\n1 0s open\n1 0s keepalive gap=\"bad frame\" missed=3\n1 0s event id=1 gap=notice\n\ta\n1 0s end\n"
	script, err := record.Replay(strings.NewReader(recording), 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a consumer may change what it is given
		m, err := wiretest.ReadFrom(wiretest.Open(t, mock.NewFeed(script...), ""))
		if err != nil || m.Gap.From != "" {
			t.Errorf("Read: got %+v, %v, want a gap without From", m, err)
		}
		m.Gap.From = "1"
	}
	var c reader
	var again string
	synctest.Test(t, func(t *testing.T) { c, again = recordingOf(t, mock.NewFeed(script...)) })
	if again != recording {
		t.Errorf("recorded again:\n%s\nwant:\n%s", again, recording)
	}
	if len(c.seen) != 2 || !strings.HasSuffix(c.seen[0], "bad frame3") || !strings.HasSuffix(c.seen[1], "notice0") {
		t.Errorf("got %q, want a bad frame and a notice", c.seen)
	}
}

func TestReplaySpeedNearZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		wiretest.Read(t, wiretest.Open(t, mock.NewFeed(replayed(t, 1e-300)...), ""), 1)
		if d := time.Since(start); d < 50*365*24*time.Hour {
			t.Errorf("the first event came after %v, want at least 50 years", d)
		}
	})
}

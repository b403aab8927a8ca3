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

// replayed is the script of the golden recording.
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

// What a consumer sees of a replay is what the recorded one saw, at the same times.
func TestReplayIsTheRecordedStory(t *testing.T) {
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

// A recording that was made on one wire is replayed on each.
func TestReplayOnEveryWire(t *testing.T) {
	for from, wire := range wiretest.Wires {
		var out bytes.Buffer
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(
				wiretest.Object(1), mock.Pause(time.Minute), mock.Keepalive(), wiretest.Object(2), mock.Drop(), mock.Status(503), mock.Refuse(),
				wiretest.Object(3), mock.End(), wiretest.Object(4), mock.Pause(time.Hour), wiretest.Object(5), mock.Complete(),
			)
			rec := &record.Transport{
				From: wire(t, feed), Out: &out,
				Token: func(m transport.Message) string { return decode.Field(m.Data, "id") },
			}
			var c wiretest.Consumer
			if err := c.Run(t.Context(), rec); err != transport.ErrEnd {
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
				if err := c.Run(t.Context(), wire(t, feed)); err != transport.ErrEnd {
					t.Errorf("%s to %s: %v", from, to, err)
				}
				equal(t, c.Seen, wiretest.IDs(1, 5))
				if d := time.Since(start).Round(time.Minute); d != 31*time.Minute {
					t.Errorf("%s to %s: took %v, want half of an hour and a minute", from, to, d)
				}
				var tokens []string
				for _, a := range feed.Attempts()[:5] {
					tokens = append(tokens, a.Token)
				}
				if want := []string{"", "2", "2", "2", "3"}; !slices.Equal(tokens, want) {
					t.Errorf("%s to %s: tokens %q, want %q", from, to, tokens, want)
				}
			})
		}
	}
}

// A close code is in the recording, and on the wire again; its reason is not.
func TestReplayCloseCodes(t *testing.T) {
	var out, again bytes.Buffer
	var codes []string
	story := func(feed *mock.Feed, out *bytes.Buffer) {
		synctest.Test(t, func(t *testing.T) {
			source := wiretest.WebSocket(t, feed.WebSocket(nil, nil), "ws")
			source.Hello = func(_ context.Context, s *transport.Socket, _ string) error {
				m, err := s.Receive() // an event, or the close frame
				if err == nil {
					s.Unread(m)
				}
				return err
			}
			rec := &record.Transport{From: source, Out: out}
			for range 4 {
				c, err := rec.Open(t.Context(), "")
				for err == nil {
					_, err = readFrom(c)
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

func TestReplayGap(t *testing.T) {
	const recording = "steadfeed recording 1\n1 0s open\n1 0s keepalive gap=\"bad frame\" missed=3\n1 0s event id=1 gap=notice\n\ta\n1 0s end\n"
	script, err := record.Replay(strings.NewReader(recording), 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a consumer may change what it is given
		m, err := readFrom(open(t, mock.NewFeed(script...), ""))
		if err != nil || m.Gap.From != "" {
			t.Errorf("Read: %+v, %v", m, err)
		}
		m.Gap.From = "1"
	}
	var c reader
	var again string
	synctest.Test(t, func(t *testing.T) { c, again = recordingOf(t, mock.NewFeed(script...)) })
	if again != recording {
		t.Errorf("recorded again:\n%s", again)
	}
	if len(c.seen) != 2 || !strings.HasSuffix(c.seen[0], "bad frame3") || !strings.HasSuffix(c.seen[1], "notice0") {
		t.Errorf("seen: %q", c.seen)
	}
}

// The slowest replay is slow, and nothing else.
func TestReplaySpeedNearZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		read(t, open(t, mock.NewFeed(replayed(t, 1e-300)...), ""), 1)
		if d := time.Since(start); d < 50*365*24*time.Hour {
			t.Errorf("the first event came after %v", d)
		}
	})
}

func TestReplayEditedByHand(t *testing.T) {
	const recording = "steadfeed recording 1\r\n\n# a fixture\n1 0s open\n\n1 1h30m event type=\"a\" id=1\r\n\tone\r\n\ttwo\r\n# done\n1 0s end"
	if _, err := record.Replay(strings.NewReader(recording), 0); err == nil || !strings.Contains(err.Error(), "line 10: missing line end") {
		t.Errorf("error %v", err)
	}
	script, err := record.Replay(strings.NewReader(recording+"\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := recordingOf(t, mock.NewFeed(script...))
	equal(t, c.seen, []string{`0 a "1" "one\ntwo" 0s `})
}

func TestReplayErrors(t *testing.T) {
	const open = "1 0s open\n"
	for _, tt := range []struct{ body, want string }{
		{"1 0s", "line 2: want a connection number, a delay and a verb"},
		{"x 0s open", `line 2: "x" is not a connection number`},
		{"0 0s open", `line 2: "0" is not a connection number`},
		{"1 0 open\n1 1 eof", `line 3: "1" is not a delay`},
		{"1 -1s open", `line 2: "-1s" is not a delay`},
		{"1 0s opens", `line 2: unknown verb "opens"`},
		{"1  0s open", `line 2: "" is not a delay`},
		{"2 0s open", "line 2: the next connection is 1, not 2"},
		{open + "1 0s open", "line 3: the next connection is 2, not 1"},
		{"1 0s eof", "line 2: connection 1 is not open"},
		{open + "1 0s eof\n1 0s cut", "line 4: connection 1 is not open"},
		{open + "2 0s keepalive", "line 3: connection 2 is not open"},
		{"2 0s end", "line 2: the next connection is 1, not 2"},
		{"1 0s open id=1", `line 2: open has no field "id"`},
		{"1 0s open ", `line 2: open has no field ""`},
		{open + "1 0s event id=1 id=2", "line 3: duplicate field id"},
		{open + "1 0s event id", "line 3: id needs a value"},
		{open + "1 0s event id=", "line 3: id: the value is missing or must be quoted"},
		{open + `1 0s event id=""`, `line 3: "" is not a valid id`},
		{open + `1 0s event id="1`, "line 3: id: missing closing quote"},
		{open + `1 0s event id="1"type=x`, "line 3: id: want a space after the value"},
		{open + "1 0s event missed=1", "line 3: missed needs gap"},
		{open + "1 0s event gap=notice missed=-1", `line 3: "-1" is not a valid missed`},
		{open + "1 0s retry", "line 3: retry needs wait"},
		{open + "1 0s retry wait=soon", `line 3: "soon" is not a valid wait`},
		{open + "1 0s retry wait=-1s", `line 3: "-1s" is not a valid wait`},
		{"1 0s status", "line 2: status needs code"},
		{"1 0s status code=200", `line 2: "200" is not a valid code`},
		{open + "1 0s close", "line 3: close needs code"},
		{open + "1 0s close code=404", `line 3: "404" is not a valid code`},
		{open + "1 0s close code=1006", `line 3: "1006" is not a valid code`},
		{open + "1 0s close code=4000\n1 0s eof", "line 4: connection 1 is not open"},
		{"1 0s status code=4040", `line 2: "4040" is not a valid code`},
		{open + "\ttext", "line 3: open takes no payload"},
		{"# comment\n\ttext", `line 3: want a connection number, a delay and a verb`},
		{open + "1 0s event\n\ta\n\n\tb", "line 6: want a connection number, a delay and a verb"},
		{open + "1 0s event\n\ta \n1 0s eof", "line 4: the payload must be quoted"},
		{open + "1 0s event\n\t", "line 4: the payload must be quoted"},
		{open + "1 0s event quoted\n1 0s eof", "line 3: want one line with a double-quoted string"},
		{open + "1 0s event quoted\n\t`a`", "line 4: want one line with a double-quoted string"},
		{open + "1 0s event quoted\n\t\"a\n\t\"", "line 5: want one line with a double-quoted string"},
		{open + "1 0s event quoted\n\t\"a", "line 4: the payload is not a valid double-quoted string"},
		{open + "1 0s event quoted=x\n\t\"a\"", `line 3: "x" is not a valid quoted`},
	} {
		_, err := record.Replay(strings.NewReader("steadfeed recording 1\n"+tt.body+"\n"), 1)
		if err == nil || err.Error() != "record: "+tt.want {
			t.Errorf("%q: error %v, want %s", tt.body, err, tt.want)
		}
	}
	for _, text := range []string{"", "\n", "steadfeed recording 2\n", "steadfeed recording 1"} {
		if _, err := record.Replay(strings.NewReader(text), 1); err == nil || !strings.HasPrefix(err.Error(), "record: line 1: ") {
			t.Errorf("%q: error %v", text, err)
		}
	}
	for _, speed := range []float64{-1, math.NaN()} {
		if _, err := record.Replay(strings.NewReader("steadfeed recording 1\n"), speed); err == nil {
			t.Errorf("speed %v: no error", speed)
		}
	}
}

// FuzzReplay: what can be read at all says the same when it is recorded again.
func FuzzReplay(f *testing.F) {
	golden, err := os.ReadFile(goldenRecording)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte("steadfeed recording 1\n1 0s open after=?\n1 1ms event id=\"a\\nb\" gap=notice quoted\n\t\"\\x00\"\n1 0s silent\n2 0s end\n"))
	f.Fuzz(func(t *testing.T, recording []byte) {
		script, err := record.Replay(bytes.NewReader(recording), 0)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "record: line ") {
				t.Errorf("error %v", err)
			}
			return
		}
		if len(script) > 200 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			// Without a token nothing comes again that the script does not say.
			first, second := reader{forgets: true}, reader{forgets: true}
			var once bytes.Buffer
			first.run(t, &record.Transport{
				From: impatient{mock.NewFeed(append(slices.Clone(script), mock.Complete())...)}, Out: &once,
			})
			again, err := record.Replay(bytes.NewReader(once.Bytes()), 0)
			if err != nil {
				t.Fatalf("%v in:\n%s", err, &once)
			}
			second.run(t, impatient{mock.NewFeed(again...)})
			equal(t, second.seen, first.seen)
		})
	})
}

// FuzzRecorder: what is recorded is replayed to the byte.
func FuzzRecorder(f *testing.F) {
	f.Add("1", "update", []byte("{}"), int64(1000))
	f.Add("", "", []byte("a\n\nb "), int64(1))
	f.Add(`"`, "\\", []byte("\r\n\x00\xff"), int64(1<<40))
	f.Fuzz(func(t *testing.T, id, kind string, data []byte, ns int64) {
		if ns < 0 || ns > int64(24*time.Hour) {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			first, recording := recordingOf(t, mock.NewFeed(
				mock.Pause(time.Duration(ns)%time.Hour),
				mock.Frame(decode.Frame{ID: id, Type: kind, Data: data}),
				mock.Frame(decode.Frame{Kind: decode.KindComment, Data: data}),
				mock.Retry(time.Duration(ns)), mock.Position(id), mock.Complete(),
			))
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

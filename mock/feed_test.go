package mock_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/transport"
)

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func wantErr(t *testing.T, c transport.Conn, want error) {
	t.Helper()
	if m, err := wiretest.ReadFrom(c); !errors.Is(err, want) {
		t.Errorf("Read: got %+v, %v, want %v", m, err, want)
	}
}

func TestFeedScriptContinuesOnTheNextConnection(t *testing.T) {
	feed := mock.NewFeed(
		mock.Event("1", "a"), mock.Drop(),
		mock.Status(503, http.Header{"retry-after": {"30"}}),
		mock.Refuse(),
		mock.Event("2", "b"), mock.End(),
		mock.Malformed([]byte("{")),
		mock.Event("3", "c"), mock.Complete(),
		mock.Status(503), mock.Event("4", "never"),
	)
	c := wiretest.Open(t, feed, "")
	equal(t, wiretest.Read(t, c, 1), []string{"a"})
	wantErr(t, c, io.ErrUnexpectedEOF)
	wantErr(t, c, io.ErrUnexpectedEOF)

	var status *transport.StatusError
	if _, err := feed.Open(t.Context(), "1"); !errors.As(err, &status) || status.Code != 503 || status.Header.Get("Retry-After") != "30" {
		t.Errorf("Open: got %v, want 503 with Retry-After 30", err)
	}
	var op interface{ Timeout() bool }
	if _, err := feed.Open(t.Context(), "1"); !errors.As(err, &op) {
		t.Errorf("Open: got %v, want a network error", err)
	}
	c = wiretest.Open(t, feed, "1")
	equal(t, wiretest.Read(t, c, 1), []string{"b"})
	wantErr(t, c, io.EOF)

	c = wiretest.Open(t, feed, "2")
	var malformed *decode.FrameError
	if _, err := wiretest.ReadFrom(c); !errors.As(err, &malformed) || !malformed.Protocol() {
		t.Errorf("Read: got %v, want a malformed frame", err)
	}
	c = wiretest.Open(t, feed, "2")
	equal(t, wiretest.Read(t, c, 1), []string{"c"})
	wantErr(t, c, transport.ErrComplete)
	if _, err := feed.Open(t.Context(), "3"); err != transport.ErrComplete {
		t.Errorf("Open after the end: got %v, want %v", err, transport.ErrComplete)
	}
	c = wiretest.Open(t, feed, "1") // a late consumer receives the rest
	equal(t, wiretest.Read(t, c, 2), []string{"b", "c"})
	wantErr(t, c, transport.ErrComplete)
}

func TestFeedRepeatsEventsAfterAToken(t *testing.T) {
	feed := mock.NewFeed(
		mock.Event("1", "a"), mock.Keepalive(), mock.Event("", "b"), mock.Event("2", "c"), wiretest.Position("p"), mock.Event("3", "d"),
	)
	wiretest.Read(t, wiretest.Open(t, feed, ""), 6)
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
		c := wiretest.Open(t, feed, tt.token)
		feed.Publish(mock.Keepalive(), mock.Event("", "live"))
		var got []string
		for len(got) < len(tt.want) {
			m, err := wiretest.ReadFrom(c)
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind == decode.KindData {
				got = append(got, string(m.Data))
			}
		}
		equal(t, got, tt.want)
		c.Close()
		wiretest.Read(t, wiretest.Open(t, feed, "3"), 1)
	}
}

func TestFeedUnknownToken(t *testing.T) {
	feed := mock.NewFeed(mock.Event("1", "a"))
	_, err := feed.Open(t.Context(), "0")
	var r interface{ RejectsToken() bool }
	if !errors.As(err, &r) || !r.RejectsToken() {
		t.Errorf("Open: got %v, want a rejected token", err)
	}
}

func TestFeedPauseCountsFromWhenItIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		feed := mock.NewFeed(mock.Event("1", "a"), mock.Pause(3*day), mock.Event("2", "b"), mock.Stall(), mock.Event("3", "c"))
		start := time.Now()
		c := wiretest.Open(t, feed, "")
		wiretest.Read(t, c, 1)
		ctx, cancel := context.WithTimeout(t.Context(), day)
		defer cancel()
		c2, err := feed.Open(ctx, "1")
		if err != nil {
			t.Fatal(err)
		}
		go wiretest.ReadFrom(c) // begins the pause
		if _, err := wiretest.ReadFrom(c2); err != context.DeadlineExceeded {
			t.Errorf("Read: got %v, want the cause of its context", err)
		}
		c2.Close()
		c.Close()
		c = wiretest.Open(t, feed, "1")
		equal(t, wiretest.Read(t, c, 1), []string{"b"})
		if d := time.Since(start); d != 3*day {
			t.Errorf("the pause took %v, want %v", d, 3*day)
		}
		go func() {
			time.Sleep(7 * day)
			c.Close()
		}()
		if _, err := wiretest.ReadFrom(c); err == nil || time.Since(start) != 10*day {
			t.Errorf("the stall ended after %v with %v, want an error after %v", time.Since(start), err, 10*day)
		}
		equal(t, wiretest.Read(t, wiretest.Open(t, feed, "2"), 1), []string{"c"})
	})
}

// A step that acts on a connection acts on every open one, including one that reads later.
func TestFeedStepsActOnEveryOpenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("1", "a"), mock.Status(503), mock.Event("2", "b"), mock.Stall(), mock.Event("3", "c"))
		early, late := wiretest.Open(t, feed, ""), wiretest.Open(t, feed, "")
		equal(t, wiretest.Read(t, early, 1), []string{"a"})
		wantErr(t, early, io.ErrUnexpectedEOF)
		if _, err := feed.Open(t.Context(), ""); err == nil {
			t.Error("Open: want 503")
		}
		equal(t, wiretest.Read(t, late, 1), []string{"a"})
		wantErr(t, late, io.ErrUnexpectedEOF)

		early, late = wiretest.Open(t, feed, "1"), wiretest.Open(t, feed, "1")
		equal(t, wiretest.Read(t, early, 1), []string{"b"})
		equal(t, wiretest.Read(t, late, 1), []string{"b"})
		for _, c := range []*transport.Session{early, late} {
			go func() {
				time.Sleep(time.Hour)
				c.Close()
			}()
			wantErr(t, c, net.ErrClosed)
		}
		equal(t, wiretest.Read(t, wiretest.Open(t, feed, "2"), 1), []string{"c"})
	})
}

// A token that was used twice resumes after its first use, so that nothing is lost.
func TestFeedIDUsedTwice(t *testing.T) {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.Event("2", "b"), mock.Event("1", "c"))
	wiretest.Read(t, wiretest.Open(t, feed, ""), 3)
	equal(t, wiretest.Read(t, wiretest.Open(t, feed, "1"), 2), []string{"b", "c"})
}

func TestFeedMessages(t *testing.T) {
	feed := mock.NewFeed(
		mock.Frame(decode.Frame{ID: "1", Type: "update", Data: []byte("a")}),
		mock.Frame(decode.Frame{Kind: decode.KindComment, Data: []byte("text")}),
		mock.Keepalive(), wiretest.Retry(3*time.Second), wiretest.Position("p"), mock.Event("2", "b"), mock.Drop(),
		mock.Event("3", "c"), mock.Pause(time.Nanosecond), mock.Event("4", "d"),
	)
	want := []transport.Message{
		{ID: "1", Token: "1", Type: "update", Data: []byte("a"), More: true},
		{Kind: decode.KindComment, Data: []byte("text"), More: true},
		{Kind: decode.KindKeepalive, More: true},
		{Kind: decode.KindRetry, Delay: 3 * time.Second, More: true},
		{Kind: decode.KindPosition, ID: "p", Token: "p", More: true},
		{ID: "2", Token: "2", Data: []byte("b")}, // nothing but the drop comes after it
	}
	c := wiretest.Open(t, feed, "")
	for _, w := range want {
		if m, err := wiretest.ReadFrom(c); err != nil || !reflect.DeepEqual(m, w) {
			t.Errorf("Read: got %+v, %v, want %+v", m, err, w)
		}
	}
	wantErr(t, c, io.ErrUnexpectedEOF)
	c = wiretest.Open(t, feed, "1")
	for _, w := range []transport.Message{
		{ID: "2", Token: "2", Data: []byte("b"), More: true}, {ID: "3", Token: "3", Data: []byte("c")}, {ID: "4", Token: "4", Data: []byte("d")},
	} {
		if m, err := wiretest.ReadFrom(c); err != nil || !reflect.DeepEqual(m, w) {
			t.Errorf("Read again: got %+v, %v, want %+v", m, err, w)
		}
	}
}

// Neither the script nor the consumer sees changes that the other makes to the data.
func TestFeedDataIsOwned(t *testing.T) {
	data := []byte("abc")
	feed := mock.NewFeed(mock.Event("0", ""), mock.Frame(decode.Frame{Data: data}))
	data[0] = 'x'
	for range 3 {
		c, err := feed.Open(t.Context(), "0")
		if err != nil {
			c = wiretest.Open(t, feed, "")
			wiretest.Read(t, c, 1)
		}
		m, err := wiretest.ReadFrom(c)
		if string(m.Data) != "abc" || err != nil {
			t.Fatalf("Read: got %q, %v, want abc", m.Data, err)
		}
		m.Data[0] = 'x'
		feed.Log()[1].Data[0] = 'x'
		c.Close()
	}
}

func TestFeedRefusalsWithoutAWire(t *testing.T) {
	for _, tt := range []struct {
		code int
		want func(error) bool
	}{
		{204, func(err error) bool { return err == transport.ErrComplete }},
		{302, func(err error) bool { e := new(transport.ProtocolError); return errors.As(err, &e) }},
		{410, func(err error) bool { // no token, so none is rejected
			e := new(transport.StatusError)
			return errors.As(err, &e) && e.StatusCode() == 410 && !e.RejectsToken()
		}},
		{404, func(err error) bool {
			e := new(transport.StatusError)
			return errors.As(err, &e) && e.StatusCode() == 404
		}},
	} {
		feed := mock.NewFeed(mock.Status(tt.code), mock.End())
		if _, err := feed.Open(t.Context(), ""); !tt.want(err) {
			t.Errorf("%d: Open: got %v, want another error", tt.code, err)
		}
		wantErr(t, wiretest.Open(t, feed, ""), io.EOF) // one attempt, and no more
	}
	feed := mock.NewFeed(mock.Refuse())
	_, err := feed.Open(t.Context(), "")
	wantOp(t, "Open", err, "dial", syscall.ECONNREFUSED)
}

// Consumers do not share the header of a refusal.
func TestFeedStatusHeader(t *testing.T) {
	h := http.Header{"retry-after": {"1"}}
	step := mock.Status(429, h, http.Header{"X-Rate-Limit-Reset": {"2"}})
	h.Set("retry-after", "9")
	feed := mock.NewFeed(step, step)
	for range 2 {
		_, err := feed.Open(t.Context(), "")
		var status *transport.StatusError
		if !errors.As(err, &status) || status.Header.Get("Retry-After") != "1" || status.Header.Get("X-Rate-Limit-Reset") != "2" {
			t.Fatalf("Open: got %v, want a StatusError with the headers of the step", err)
		}
		status.Header.Set("Retry-After", "9")
	}
}

func TestFeedAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var feed mock.Feed // an empty script
		start := time.Now()
		time.Sleep(time.Hour)
		c := wiretest.Open(t, &feed, "")
		time.Sleep(time.Hour)
		if _, err := feed.Open(t.Context(), "lost"); err == nil {
			t.Error("Open with an unknown token: got no error, want one")
		}
		all := feed.Attempts()
		if len(all) != 2 {
			t.Fatalf("got %d attempts, want 2", len(all))
		}
		if a := all[0]; a.Token != "" || a.At.Sub(start) != time.Hour || !a.Ended.IsZero() {
			t.Errorf("open connection: got %+v, want it open since %v", a, start.Add(time.Hour))
		}
		if a := all[1]; a.Token != "lost" || a.At.Sub(start) != 2*time.Hour || !a.Ended.Equal(a.At) || a.Err == nil || a.Header != nil {
			t.Errorf("refused attempt: got %+v, want it refused after 2h with token lost", a)
		}
		all[0] = mock.Attempt{} // it is a copy
		time.Sleep(time.Hour)
		c.Close()
		c.Close()
		if a := feed.Attempts()[0]; a.At.IsZero() || a.Err != nil || a.Ended.Sub(start) != 3*time.Hour {
			t.Errorf("closed connection: got %+v, want it ended after 3h without an error", a)
		}
	})
}

func TestFeedPlaysNothingAfterComplete(t *testing.T) {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.Complete(), mock.Event("2", "never"))
	c := wiretest.Open(t, feed, "")
	wiretest.Read(t, c, 1)
	wantErr(t, c, transport.ErrComplete)
	if _, err := feed.Open(t.Context(), "1"); err != transport.ErrComplete {
		t.Errorf("Open: got error %v, want %v", err, transport.ErrComplete)
	}
	if log := feed.Log(); len(log) != 1 {
		t.Errorf("Log: got %+v, want one event", log)
	}
}

// A consumer that connects during a pause is connected: the step after the pause has not been
// played yet.
func TestFeedRefusesOnlyAfterThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Pause(time.Hour), mock.Status(503), mock.End())
		c := wiretest.Open(t, feed, "")
		go wiretest.ReadFrom(c)
		synctest.Wait()
		c.Close()
		start := time.Now()
		wantErr(t, wiretest.Open(t, feed, ""), io.ErrUnexpectedEOF)
		if d := time.Since(start); d != time.Hour {
			t.Errorf("the connection broke after %v, want 1h", d)
		}
		if _, err := feed.Open(t.Context(), ""); err == nil {
			t.Error("Open: want 503")
		}
		wantErr(t, wiretest.Open(t, feed, ""), io.EOF)
	})
}

// Close and the end of the context unblock a Read whatever it waits for, and every later Read
// returns the same error.
func TestFeedReadIsUnblocked(t *testing.T) {
	for name, step := range map[string]mock.Step{
		"silence": mock.Keepalive(), "pause": mock.Pause(time.Hour), "stall": mock.Stall(),
	} {
		for what, stop := range map[string]func(c transport.Conn, cancel context.CancelCauseFunc) error{
			"Close":   func(c transport.Conn, _ context.CancelCauseFunc) error { c.Close(); return net.ErrClosed },
			"context": func(_ transport.Conn, cancel context.CancelCauseFunc) error { cancel(errDisk); return errDisk },
		} {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				feed := mock.NewFeed(mock.Event("1", "a"), step)
				c, err := feed.Open(ctx, "")
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				wiretest.Read(t, c, 1)
				if name == "silence" {
					wiretest.Read(t, c, 1)
				}
				failed := make(chan error)
				go func() {
					_, err := wiretest.ReadFrom(c)
					failed <- err
				}()
				synctest.Wait()
				start := time.Now()
				want := stop(c, cancel)
				if err := <-failed; !errors.Is(err, want) || time.Since(start) != 0 {
					t.Errorf("%s, %s: got %v after %v, want %v at once", name, what, err, time.Since(start), want)
				}
				feed.Publish(mock.Event("2", "late"))
				wantErr(t, c, want)
				if _, err := feed.Open(ctx, ""); what == "context" && err != errDisk {
					t.Errorf("Open: got %v, want %v", err, errDisk)
				}
			})
		}
	}
}

// A feed that was created outside a bubble may be used in one, as in a table test.
func TestFeedCreatedOutsideTheBubble(t *testing.T) {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.Pause(time.Hour), mock.Event("2", "b"))
	store := new(mock.Store)
	store.OnSave(&mock.Fault{Delay: time.Hour})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		equal(t, wiretest.Read(t, wiretest.Open(t, feed, ""), 2), []string{"a", "b"})
		save(t, store, "a", "")
		if d := time.Since(start); d != 2*time.Hour {
			t.Errorf("took %v, want 2h", d)
		}
	})
}

// More means that the next Read does not wait, and returns a message.
func TestFeedMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("1", "a"), mock.Pause(time.Hour), mock.Event("2", "b"), mock.Drop())
		early, late := wiretest.Open(t, feed, ""), wiretest.Open(t, feed, "")
		wiretest.Read(t, early, 1)
		go wiretest.ReadFrom(early)
		synctest.Wait() // the pause has begun
		if m, err := wiretest.ReadFrom(late); err != nil || m.More {
			t.Errorf("before the pause: got %+v, %v, want a message without More", m, err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		wantErr(t, early, io.ErrUnexpectedEOF)
		if m, err := wiretest.ReadFrom(late); err != nil || m.More {
			t.Errorf("before the drop: got %+v, %v, want a message without More", m, err)
		}
		wantErr(t, late, io.ErrUnexpectedEOF)
	})
}

// The first end of a connection is final, for its reader and in its attempt.
func TestFeedEndIsFinal(t *testing.T) {
	for name, tt := range map[string]struct {
		step mock.Step
		want error
	}{
		"drop": {mock.Drop(), io.ErrUnexpectedEOF}, "end": {mock.End(), io.EOF}, "complete": {mock.Complete(), transport.ErrComplete},
	} {
		feed := mock.NewFeed(mock.Event("1", "a"), tt.step, mock.Event("2", "b"))
		c := wiretest.Open(t, feed, "")
		wiretest.Read(t, c, 1)
		wantErr(t, c, tt.want)
		if a := feed.Attempts()[0]; a.Ended.IsZero() || !errors.Is(a.Err, tt.want) {
			t.Errorf("%s: got attempt %+v, want it ended with %v", name, a, tt.want)
		}
		c.Close()
		wantErr(t, c, tt.want)
		if a := feed.Attempts()[0]; !errors.Is(a.Err, tt.want) {
			t.Errorf("%s: after Close: got attempt %+v, want it ended with %v", name, a, tt.want)
		}
	}
}

// Without a wire, a slow event and the break after a partial one take time in Read.
func TestFeedSlowlyAndPartialWithoutAWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(
			mock.Event("1", "a"), mock.Slowly(time.Minute, mock.Event("2", "b")),
			mock.Event("3", "c"), mock.Slowly(time.Minute, mock.Partial(mock.Event("4", "d"), 1)),
		)
		c := wiretest.Open(t, feed, "")
		start := time.Now()
		for _, want := range []struct {
			data  string
			more  bool
			after time.Duration
		}{{"a", false, 0}, {"b", true, time.Minute}, {"c", false, time.Minute}} {
			m, err := wiretest.ReadFrom(c)
			if string(m.Data) != want.data || m.More != want.more || err != nil || time.Since(start) != want.after {
				t.Errorf("got %+v, %v after %v; want %+v", m, err, time.Since(start), want)
			}
		}
		wantErr(t, c, io.ErrUnexpectedEOF)
		if a := feed.Attempts()[0]; time.Since(start) != 2*time.Minute || !errors.Is(a.Err, io.ErrUnexpectedEOF) {
			t.Errorf("the connection broke after %v: got attempt %+v, want 2m and io.ErrUnexpectedEOF", time.Since(start), a)
		}
		// A consumer that resumes gets all of it at once.
		c = wiretest.Open(t, feed, "1")
		for _, want := range []string{"b", "c", "d"} {
			if m, err := wiretest.ReadFrom(c); string(m.Data) != want || err != nil || m.More != (want != "d") {
				t.Errorf("Read again: got %+v, %v, want %s", m, err, want)
			}
		}
		if time.Since(start) != 2*time.Minute {
			t.Errorf("the repetition took %v, want none", time.Since(start)-2*time.Minute)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := wiretest.Open(t, mock.NewFeed(mock.Slowly(time.Hour, mock.Event("1", "a"))), "")
		go func() {
			time.Sleep(time.Minute)
			c.Close()
		}()
		start := time.Now()
		if wantErr(t, c, net.ErrClosed); time.Since(start) != time.Minute {
			t.Errorf("Close took effect after %v, want 1m", time.Since(start))
		}
	})
}

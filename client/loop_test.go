package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

func TestReconnectResumesAfterTheLastReceivedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Drop(), mock.Refuse(), mock.Status(503)), events("4"),
			steps(mock.End()), events("5"), steps(mock.Complete()))
		sub := subscribe(t, feed, nil)
		got, end := data(t, sub, 0)
		if end != nil {
			t.Errorf("got the end %v, want no error for a feed that is complete", end)
		}
		want(t, "events", got, []string{"data 1", "data 2", "data 3", "data 4", "data 5"})
		want(t, "tokens", tokens(feed), []string{"", "3", "3", "3", "4", "5"}[:len(tokens(feed))])
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestTransientFailuresStayOutOfTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(steps(mock.Refuse(), mock.Status(503), mock.Status(429), mock.Status(500)), events("1"),
			steps(mock.Drop(), mock.Refuse()), events("2"), steps(mock.Complete()))
		var failures []string
		sub := subscribe(t, feed, &client.Options{Trace: &client.Trace{
			Disconnected: func(d client.DisconnectInfo) { failures = append(failures, d.Class.String()) },
		}})
		got, end := data(t, sub, 0)
		sub.Close()
		if end != nil {
			t.Error(end)
		}
		want(t, "events", got, []string{"data 1", "data 2"})
		if len(failures) < 6 {
			t.Errorf("Trace: got %v, want every failure", failures)
		}
	})
}

func TestStopErrorAfterEverythingReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Drop(), mock.Status(503), mock.Status(401)))
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		synctest.Wait()
		time.Sleep(time.Hour) // the feed ends before the consumer reads
		got, end := data(t, sub, 0)
		want(t, "what was received before the end", got, []string{"data 1", "data 2", "data 3"})
		var stop *client.StopError
		var status interface{ StatusCode() int }
		if !errors.As(end, &stop) || !errors.As(end, &status) || status.StatusCode() != 401 {
			t.Fatalf("got the end %v, want a StopError with the 401", end)
		}
		if stop.Attempts < 2 || stop.Elapsed <= 0 {
			t.Errorf("StopError: got %d attempts in %v, want at least 2 in more than 0s", stop.Attempts, stop.Elapsed)
		}
		if _, err := sub.Next(t.Context()); !errors.As(err, &stop) {
			t.Errorf("Next after the end: got %v, want a StopError", err)
		}
	})
}

func TestReconnectDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1"))
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		start := time.Now()
		data(t, sub, 1)
		sub.Reconnect()
		synctest.Wait()
		if len(tokens(feed)) != 2 || time.Since(start) != 0 {
			t.Fatalf("got %d attempts after %v, want a second one at once", len(tokens(feed)), time.Since(start))
		}
		feed.Publish(append(steps(mock.Drop(), unavailable), events("2")...)...)
		time.Sleep(time.Minute) // of a delay of ten minutes
		if s := sub.Stats().State; s != client.StateBackingOff {
			t.Fatalf("got state %v, want %v", s, client.StateBackingOff)
		}
		sub.Reconnect()
		got, _ := data(t, sub, 1)
		want(t, "event", got, []string{"data 2"})
		if d := time.Since(start); d != time.Minute {
			t.Errorf("resumed after %v, want at once", d)
		}
	})
}

func TestDelaysGrowWithoutProgressOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Two hundred connections that end at once without an event.
		var s []mock.Step
		for range 200 {
			s = append(s, mock.End())
		}
		feed := mock.NewFeed(s...)
		var delays []time.Duration
		sub := subscribe(t, feed, &client.Options{Trace: &client.Trace{
			Disconnected: func(d client.DisconnectInfo) { delays = append(delays, d.Delay) },
		}})
		time.Sleep(time.Hour)
		n := len(feed.Attempts())
		sub.Close()
		// Full jitter up to a cap of 30 s is 15 s on average: about 240 an hour.
		if n > 201 || n < 100 {
			t.Errorf("got %d attempts in an hour, want 100 to 201", n)
		}
		var last time.Duration
		for _, d := range delays[len(delays)-20:] {
			last = max(last, d)
		}
		if last < 15*time.Second {
			t.Errorf("got a longest delay of %v, want at least 15s", last)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		// A server that ends each connection after ten events is healthy.
		var s []mock.Step
		for i := range 1000 {
			s = append(s, mock.Event(fmt.Sprint(i), "x"))
			if i%10 == 9 {
				s = append(s, mock.End())
			}
		}
		feed := mock.NewFeed(append(s, mock.Complete())...)
		start := time.Now()
		sub := subscribe(t, feed, nil)
		got, _ := data(t, sub, 0)
		sub.Close()
		if d := time.Since(start); len(got) != 1000 || d > 2*time.Minute {
			t.Errorf("got %d events in %v, want 1000 with at most a second between connections", len(got), d)
		}
	})
}

// A message that waits for space is in no buffer, so the next connection must deliver it again.
func TestReconnectWhileFullLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Complete()))
		sub := subscribe(t, feed, &client.Options{Buffer: 1, Dedupe: 10})
		defer sub.Close()
		synctest.Wait()
		sub.Reconnect()
		synctest.Wait()
		got, _ := data(t, sub, 0)
		want(t, "events", got, []string{"data 1", "data 2", "data 3"})
		want(t, "tokens", tokens(feed)[:2], []string{"", "1"})
	})
}

func TestFullBufferStopsReading(t *testing.T) {
	for name, o := range map[string]client.Options{
		"by count": {Buffer: 10},
		"by bytes": {BufferBytes: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reads := 0
				sub := subscribe(t, endless{&reads}, &o)
				synctest.Wait()
				if s := sub.Stats(); reads != 11 || s.Buffered != 10 || s.State != client.StateFull {
					t.Fatalf("got %d messages read, %d buffered, state %v, want one more than fits", reads, s.Buffered, s.State)
				}
				evs := []client.Event{}
				for range 3 {
					ev, _ := sub.Next(t.Context())
					evs = append(evs, ev)
				}
				synctest.Wait()
				if reads != 11 {
					t.Errorf("got %d messages read while nothing is acknowledged, want 11", reads)
				}
				evs[0].Ack()
				synctest.Wait()
				if reads != 12 {
					t.Errorf("got %d messages read after one ack, want 12", reads)
				}
				sub.Close()
			})
		})
	}
}

func TestWaitConnected(t *testing.T) {
	wait := func(t *testing.T, feed transport.Transport) (*client.Subscription, error) {
		sub := subscribe(t, feed, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return sub, sub.WaitConnected(ctx)
	}
	t.Run("late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sub, err := wait(t, script(steps(mock.Refuse(), mock.Refuse()), events("1")))
			if err != nil {
				t.Error(err)
			}
			sub.Close()
			if err := sub.WaitConnected(t.Context()); err != nil {
				t.Errorf("after Close: %v", err)
			}
		})
	})
	t.Run("not in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sub, err := wait(t, script(steps(mock.Status(503), unavailable)))
			var status interface{ StatusCode() int }
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &status) || status.StatusCode() != 503 ||
				!strings.Contains(err.Error(), "attempts: 2") {
				t.Errorf("WaitConnected: got %v, want the deadline, 2 attempts and status 503", err)
			}
			sub.Close()
		})
	})
	t.Run("no answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sub, err := wait(t, deaf{})
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "attempts: 1") {
				t.Errorf("WaitConnected: got %v, want the deadline and 1 attempt", err)
			}
			sub.Close()
			if err := sub.WaitConnected(t.Context()); !errors.Is(err, client.ErrClosed) {
				t.Errorf("WaitConnected after Close: got %v, want %v", err, client.ErrClosed)
			}
		})
	})
	t.Run("final", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sub, err := wait(t, script(steps(mock.Status(403))))
			var stop *client.StopError
			if !errors.As(err, &stop) {
				t.Errorf("WaitConnected: got %v, want a StopError", err)
			}
			sub.Close()
		})
	})
}

// Reconnect is called when the feed has just ended. The end wins, and the Listener is closed once.
func TestReconnectDoesNotUndoTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &complete{}
		subs := make(chan *client.Subscription, 1)
		sub := subscribe(t, feed, &client.Options{
			Trace: &client.Trace{Disconnected: func(client.DisconnectInfo) { (<-subs).Reconnect() }},
		})
		subs <- sub
		if _, err := sub.Next(t.Context()); err != io.EOF {
			t.Errorf("Next after the end: got %v, want io.EOF", err)
		}
		sub.Close()
		if opens, closes := feed.opens.Load(), feed.closes.Load(); opens != 1 || closes != 1 {
			t.Errorf("got %d Listeners, closed %d times, want one, once", opens, closes)
		}
	})
}

// answering is an HTTP server without a network: it returns the response to request n, counted from
// 0.
type answering func(n int) (status int, header http.Header, body io.Reader)

// attempts subscribes to the server for some time. It returns when each request was made, and the
// error that ended the subscription, if any.
func attempts(t *testing.T, a answering, policy retry.Policy, d time.Duration) (at []time.Duration, end error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		feed := &transport.HTTP{URL: "http://feed.example", Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			code, header, body := a(len(at))
			at = append(at, time.Since(begin))
			return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(body), ProtoMajor: 1, ContentLength: -1, TransferEncoding: []string{"chunked"}}, nil
		})}}
		sub, err := client.Subscribe(t.Context(), feed, &client.Options{Retry: policy})
		if err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(d, func() { sub.Close() })
		defer stop.Stop()
		_, end = data(t, sub, 0)
		sub.Close()
	})
	return at, end
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func typ(media string) http.Header { return http.Header{"Content-Type": {media}} }

// paused returns its text, waits, and ends.
type paused struct {
	steps []string
	pause time.Duration
}

func (p *paused) Read(b []byte) (int, error) {
	if len(p.steps) == 0 {
		return 0, io.EOF
	}
	time.Sleep(p.pause)
	n := copy(b, p.steps[0])
	p.steps = p.steps[1:]
	return n, nil
}

// An error in JSON with status 200 looks like a single event, again and again.
func TestJSONErrorWithStatus200IsNoProgress(t *testing.T) {
	at, end := attempts(t, func(int) (int, http.Header, io.Reader) {
		return 200, typ("application/json"), strings.NewReader(`{"error":"maintenance"}`)
	}, retry.Policy{}, time.Hour)
	if len(at) > 200 || len(at) < 100 || end != nil {
		t.Errorf("got %d requests in an hour and the end %v, want delays that grow to 30 s", len(at), end)
	}
}

// A quiet feed with keepalives, which a proxy cuts every 45 s, is online nearly all the time.
func TestQuietFeedThatIsCutIsReconnectedAtOnce(t *testing.T) {
	at, end := attempts(t, func(int) (int, http.Header, io.Reader) {
		return 200, typ("text/event-stream"), &paused{[]string{":\n", ":\n", ":\n"}, 15 * time.Second}
	}, retry.Policy{}, time.Hour)
	if len(at) < 78 || end != nil {
		t.Errorf("got %d connections of 45 s in an hour, %v, want at least 78", len(at), end)
	}
}

// With constant delays, as in an EventSource, the field retry is followed to the millisecond. 0 is
// a value.
func TestRetryFieldIsFollowed(t *testing.T) {
	eventSource := retry.Constant(3 * time.Second)
	eventSource.MaxServerDelay = 24 * time.Hour
	for field, want := range map[string]time.Duration{
		"": 3 * time.Second, "retry: 300\n": 300 * time.Millisecond, "retry: 200\nretry: -1\n": 200 * time.Millisecond,
		"retry: 0\n": retry.MinDelay, "retry: 200\n\nretry: 0\n": retry.MinDelay, "retry: 1\n": retry.MinDelay,
		"retry: 3600000\n": time.Hour,
	} {
		at, _ := attempts(t, func(int) (int, http.Header, io.Reader) {
			return 200, typ("text/event-stream"), strings.NewReader(field + "data: x\n\n")
		}, eventSource, 3*want+want/2)
		if fmt.Sprint(at) != fmt.Sprint([]time.Duration{0, want, 2 * want, 3 * want}) {
			t.Errorf("%q: requests after %v, want one each %v", field, at, want)
		}
	}
}

func TestTroubleDoesNotEndAFeedThatHasWorked(t *testing.T) {
	html := func(int) (int, http.Header, io.Reader) {
		return 200, typ("text/html"), strings.NewReader("<h1>Back soon</h1>")
	}
	refusal := func(code int) answering {
		return func(int) (int, http.Header, io.Reader) { return code, http.Header{}, strings.NewReader("") }
	}
	for name, trouble := range map[string]answering{
		"HTML page": html, "403 of a firewall": refusal(403), "404 of a proxy": refusal(404),
		"405": refusal(405), "409": refusal(409), "418": refusal(418), "421": refusal(421), "423": refusal(423),
		"302 without Location": refusal(302), "206": refusal(206),
	} {
		t.Run(name, func(t *testing.T) {
			at, end := attempts(t, func(n int) (int, http.Header, io.Reader) {
				switch {
				case n == 0:
					return 200, typ("text/event-stream"), strings.NewReader("id: 1\ndata: a\n\n")
				case n < 20:
					return trouble(n)
				}
				return 204, nil, strings.NewReader("")
			}, retry.Policy{}, 24*time.Hour)
			if len(at) != 21 || end != nil {
				t.Errorf("got %d requests and the end %v, want 20 and the end of the feed", len(at), end)
			}
		})
	}
}

// The old connection of a process that was restarted has not been removed yet (MCP's server).
func TestConflictAtTheStartIsRetried(t *testing.T) {
	at, end := attempts(t, func(n int) (int, http.Header, io.Reader) {
		if n < 10 {
			return 409, http.Header{}, strings.NewReader("")
		}
		return 204, nil, strings.NewReader("")
	}, retry.Policy{}, time.Hour)
	if len(at) != 11 || end != nil {
		t.Errorf("got %d requests, %v, want 11", len(at), end)
	}
}

// A connection that Reconnect ended counts as one that has worked.
func TestTroubleAfterReconnectDoesNotEndTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		feed := &transport.HTTP{URL: "http://feed.example", Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			n++
			resp := &http.Response{StatusCode: 404, Header: typ("text/event-stream"), Body: io.NopCloser(strings.NewReader("")), ProtoMajor: 2}
			switch n {
			case 1:
				pr, pw := io.Pipe()
				go io.WriteString(pw, "id: 1\ndata: a\n\n")
				resp.StatusCode, resp.Body = 200, pr
			case 10:
				resp.StatusCode = 204
			}
			return resp, nil
		})}}
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		if _, err := sub.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		sub.Reconnect()
		if _, err := sub.Next(t.Context()); err != io.EOF || n != 10 {
			t.Errorf("got %d requests and the end %v, want 10 and the end of the feed", n, err)
		}
	})
}

// A complete is a Receiver that is complete at once.
type complete struct {
	opens, closes atomic.Int32
}

func (f *complete) Validate() error { return nil }

func (f *complete) Listen(context.Context, transport.Deliver) (transport.Listener, error) {
	f.opens.Add(1)
	return f, nil
}

func (f *complete) Wait() error { return transport.ErrComplete }

func (f *complete) Close() error {
	f.closes.Add(1)
	return nil
}

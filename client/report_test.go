package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

func TestEndOfAPOSTIsLoggedWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &logbook{}
		feed := &transport.HTTP{URL: "http://feed.example", Method: "POST", Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: typ("text/event-stream"), Body: io.NopCloser(strings.NewReader("data: a\n\n")), ProtoMajor: 2}, nil
		})}}
		sub := subscribe(t, feed, &client.Options{Logger: book.logger()})
		defer sub.Close()
		if got, err := data(t, sub, 0); len(got) != 1 || err != nil {
			t.Errorf("got %q, %v, want one event", got, err)
		}
		sub.Close()
		if !slices.Contains(book.brief(), "INFO the feed is complete") {
			t.Errorf("got the log %q, want the reason", book.brief())
		}
	})
}

func TestFailingSavesAreLoggedAtGrowingIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := new(mock.Store)
		o := named(store)
		o.Logger = slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, nil))
		sub := subscribe(t, script(events("1")), o)
		outage := &mock.Fault{Count: -1, Err: errors.New("database is down")}
		store.OnSave(outage)
		data(t, sub, 1)
		time.Sleep(24 * time.Hour)
		synctest.Wait() // a save may run at this moment
		if n := strings.Count(log.String(), "checkpoint not saved"); n < 20 || n > 35 {
			t.Errorf("got %d warnings in a day, want 20 to 35:\n%s", n, &log)
		}
		outage.Remove()
		time.Sleep(time.Minute)
		if sub.Close(); !strings.Contains(log.String(), "checkpoint saved again") || !strings.Contains(log.String(), "outage=24h") {
			t.Errorf("at the end of the outage: got the log\n%s\nwant an outage of 24h", log.String()[max(0, log.Len()-600):])
		}
	})
}

func TestEndIsLogged(t *testing.T) {
	refused := mock.Status(403)
	for name, c := range map[string]struct {
		feed *mock.Feed
		end  func(*client.Subscription, context.CancelCauseFunc)
		want string
	}{
		"complete":  {script(steps(mock.Complete())), nil, "INFO ended"},
		"close":     {script(), func(s *client.Subscription, _ context.CancelCauseFunc) { s.Close() }, "INFO ended"},
		"context":   {script(), func(_ *client.Subscription, cancel context.CancelCauseFunc) { cancel(nil) }, "INFO ended"},
		"its cause": {script(), func(_ *client.Subscription, cancel context.CancelCauseFunc) { cancel(errors.New("deploy")) }, "INFO ended"},
		"final":     {script(steps(refused)), nil, "ERROR ended"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				book := &logbook{}
				sub, err := client.Subscribe(ctx, c.feed, &client.Options{Logger: book.logger()})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if c.end != nil {
					c.end(sub, cancel)
				}
				synctest.Wait()
				lines := book.brief()
				if last := lines[len(lines)-1]; last != c.want {
					t.Errorf("got the log %v, want %q at the end", lines, c.want)
				}
				sub.Close()
			})
		})
	}
}

// Everything fails that can, and a refusal echoes its request.
func TestErrorsAndLogHoldNoSecrets(t *testing.T) {
	secrets := []string{"querysecret", "pathsecret", "headersecret", "tokensecret", "bodysecret", "usersecret", "datasecret", "locationsecret"}
	a := answers{
		cut(sse, "id: tokensecret\ndata: datasecret\n\nid: tokensecret"),
		status(503), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many of "+r.URL.String()+" "+fmt.Sprint(r.Header), http.StatusTooManyRequests)
		},
		func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
		status(410),
		cut(sse, "id: tokensecret\ndata: datasecret\n\n"),
		status(302, "Location", "http://unreachable.test:81/?locationsecret"),
		status(302, "Location", "http://%zz/?locationsecret"),
		body("text/html", "bodysecret"),
		status(401),
	}
	onWire(t, a, func(t *testing.T, h *transport.HTTP) {
		u, _ := url.Parse(h.URL)
		u.User = url.UserPassword("user", "usersecret")
		u.Path, u.RawQuery = "/pathsecret", "key=querysecret"
		h.URL, h.Header = u.String(), http.Header{"X-Api-Key": {"headersecret"}}
		var output bytes.Buffer
		store := new(mock.Store)
		log := slog.New(slog.NewTextHandler(&output, &slog.HandlerOptions{Level: slog.LevelDebug}))
		sub, err := client.Subscribe(t.Context(), h, &client.Options{
			Name: "n", Store: store, Logger: log,
			Trace: &client.Trace{Disconnected: func(d client.DisconnectInfo) { log.Info("traced", "error", d.Err) }},
		})
		if err != nil {
			t.Fatal(err)
		}
		store.OnSave(&mock.Fault{Count: 2})
		_, end := data(t, sub, 0)
		log.Info("end", "loop", end, "close", sub.Close())
		var stop *client.StopError
		if !errors.As(end, &stop) {
			t.Errorf("got the end %v, want a StopError", end)
		}
		for _, s := range secrets {
			if strings.Contains(output.String(), s) {
				t.Errorf("got the secret %s, want none:\n%s", s, &output)
			}
		}
		if strings.Count(output.String(), "msg=traced") < 6 {
			t.Errorf("got fewer than 6 failures:\n%s", &output)
		}
	})
}

func TestNothingIsPrintedWithoutALogger(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	stdout, stderr, logged := os.Stdout, os.Stderr, log.Writer()
	os.Stdout, os.Stderr = out, out
	log.SetOutput(out) // slog.Default writes there, too
	defer func() {
		os.Stdout, os.Stderr = stdout, stderr
		log.SetOutput(logged)
	}()
	onWire(t, answers{status(503), cut(sse, "data: a\n\nda"), body("text/html", "x")}, func(t *testing.T, h *transport.HTTP) {
		store := new(mock.Store)
		sub, err := client.Subscribe(context.Background(), h, named(store))
		if err != nil {
			t.Fatal(err)
		}
		store.OnSave(&mock.Fault{Count: -1})
		data(t, sub, 0)
		sub.Close()
	})
	if printed, err := os.ReadFile(out.Name()); err != nil || len(printed) > 0 {
		t.Errorf("got %q printed, %v, want nothing", printed, err)
	}
}

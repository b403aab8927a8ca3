package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	ld "github.com/launchdarkly/eventsource"
	"github.com/openai/openai-go/v3/packages/ssestream"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"

	"github.com/steadfeed/steadfeed/decode"
)

// maxEvent is the limit for libraries that need one.
const maxEvent = 1 << 20

// sseFeed returns a feed with an id, a type and data in every event, as a resumable feed has.
func sseFeed(size int) *feed {
	return newFeed(size, func(n int, payload string) string {
		return fmt.Sprintf("id: %d\nevent: change\ndata: %s\n\n", n, payload)
	})
}

// sseDataFeed returns a feed with data only, like the replies of language models.
func sseDataFeed(size int) *feed {
	return newFeed(size, func(_ int, payload string) string { return "data: " + payload + "\n\n" })
}

func sseContest(task string, size int, f *feed) reading {
	return reading{task, size, f.wire(), []rival{
		{"steadfeed", func(n int, t *tally) error { return readFrames(f.stream(n), decode.SSE{}, t) }},
		{"steadfeed, lent", func(n int, t *tally) error { return readLent(f.stream(n), decode.SSE{}, t) }},
		{"openai-go", func(n int, t *tally) error { return readOpenAI(f.stream(n), t) }},
		{"tmaxmax", func(n int, t *tally) error { return readTmaxmax(f.stream(n), t) }},
		{"r3labs", func(n int, t *tally) error { return readR3labs(f.stream(n), t) }},
		{"launchdarkly", func(n int, t *tally) error { return readLaunchDarkly(f.stream(n), t) }},
	}}
}

// readFrames uses steadfeed without a subscription.
func readFrames(r io.Reader, format decode.Format, t *tally) error {
	for f, err := range decode.NewReader(r, format).Frames() {
		if err != nil {
			return err
		}
		count(t, f.Data)
	}
	return nil
}

// readLent uses each event only before it reads the next one.
func readLent(r io.Reader, format decode.Format, t *tally) error {
	frames := decode.NewReader(r, format)
	frames.Borrow = true
	for f, err := range frames.Frames() {
		if err != nil {
			return err
		}
		count(t, f.Data)
	}
	return nil
}

func readOpenAI(r io.Reader, t *tally) error {
	d := ssestream.NewDecoder(&http.Response{
		Header: http.Header{"Content-Type": {"text/event-stream"}},
		Body:   io.NopCloser(r),
	})
	for d.Next() {
		data := d.Event().Data
		count(t, data[:len(data)-1]) // the library keeps the LF after each line
	}
	return d.Err()
}

func readTmaxmax(r io.Reader, t *tally) error {
	for ev, err := range tmaxmax.Read(r, &tmaxmax.ReadConfig{MaxEventSize: maxEvent}) {
		if err != nil {
			return err
		}
		count(t, ev.Data)
	}
	return nil
}

// readR3labs uses the client, because the library's parser is not exported.
func readR3labs(r io.Reader, t *tally) error {
	c := r3labs.NewClient("http://feed.example", r3labs.ClientMaxBufferSize(maxEvent))
	c.Connection.Transport = responder{r}
	return c.SubscribeRaw(func(ev *r3labs.Event) { count(t, ev.Data) })
}

// A responder answers a request with a body, without a network.
type responder struct{ body io.Reader }

func (r responder) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := context.Cause(req.Context()); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Request: req, Body: io.NopCloser(r.body),
		Header: http.Header{"Content-Type": {"text/event-stream"}},
	}, nil
}

func readLaunchDarkly(r io.Reader, t *tally) error {
	for d := ld.NewDecoder(r); ; {
		ev, err := d.Decode()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		count(t, ev.Data())
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	ld "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// subscribing returns the contests over the whole path of an event: from a server in another
// process, by HTTP over loopback, to the program.
func subscribing(server string) []reading {
	address := func(format string, size, n int) string {
		return fmt.Sprintf("%s/%s/%d?n=%d", server, format, size, n)
	}
	var all []reading
	for _, size := range sizes {
		all = append(all, reading{"Subscribe NDJSON", size, ndjsonFeed(size).wire(), []rival{
			{"steadfeed", func(n int, t *tally) error { return subscribe(address("ndjson", size, n), t) }},
			{"bufio.Scanner", func(n int, t *tally) error { return get(readScanner, address("ndjson", size, n), t) }},
			{"Scanner, owned", func(n int, t *tally) error { return get(readScannerOwned, address("ndjson", size, n), t) }},
			{"steadfeed Reader", func(n int, t *tally) error { return get(framesOf(decode.NDJSON), address("ndjson", size, n), t) }},
			{"steadfeed Reader, lent", func(n int, t *tally) error { return get(lentOf(decode.NDJSON), address("ndjson", size, n), t) }},
			{"floor", func(n int, t *tally) error { return get(floorOf(splitLine), address("ndjson", size, n), t) }},
			{"floor, passed on", func(n int, t *tally) error { return get(passedOn(splitLine), address("ndjson", size, n), t) }},
		}})
	}
	for _, size := range sizes {
		all = append(all, reading{"Subscribe SSE", size, sseFeed(size).wire(), []rival{
			{"steadfeed", func(n int, t *tally) error { return subscribe(address("sse", size, n), t) }},
			{"tmaxmax", func(n int, t *tally) error { return connectTmaxmax(address("sse", size, n), t) }},
			{"r3labs", func(n int, t *tally) error { return subscribeR3labs(address("sse", size, n), t) }},
			{"launchdarkly", func(n int, t *tally) error { return subscribeLaunchDarkly(address("sse", size, n), n, t) }},
			{"openai-go", func(n int, t *tally) error { return get(readOpenAI, address("sse", size, n), t) }},
			{"steadfeed Reader", func(n int, t *tally) error { return get(framesOf(decode.SSE{}), address("sse", size, n), t) }},
			{"steadfeed Reader, lent", func(n int, t *tally) error { return get(lentOf(decode.SSE{}), address("sse", size, n), t) }},
		}})
	}
	return all
}

func subscribe(url string, t *tally) error {
	sub, err := client.Subscribe(context.Background(), &transport.HTTP{URL: url, End: transport.EndFeed}, nil)
	if err != nil {
		return err
	}
	for ev, err := range sub.Events() {
		if err != nil {
			return errors.Join(err, sub.Close())
		}
		count(t, ev.Data)
	}
	return sub.Close()
}

// get reads one response and does not reconnect.
func get(read func(io.Reader, *tally) error, url string, t *tally) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return read(resp.Body, t)
}

// framesOf adapts readFrames to get, and lentOf adapts readLent.
func framesOf(f decode.Format) func(io.Reader, *tally) error {
	return func(r io.Reader, t *tally) error { return readFrames(r, f, t) }
}

func lentOf(f decode.Format) func(io.Reader, *tally) error {
	return func(r io.Reader, t *tally) error { return readLent(r, f, t) }
}

func connectTmaxmax(url string, t *tally) error {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	c := &tmaxmax.Client{Backoff: tmaxmax.Backoff{MaxRetries: -1}} // do not reconnect
	conn := c.NewConnection(req)
	conn.Buffer(nil, maxEvent)
	conn.SubscribeToAll(func(ev tmaxmax.Event) { count(t, ev.Data) })
	var end *tmaxmax.ConnectionError
	if err := conn.Connect(); !errors.As(err, &end) || end.Err != nil && end.Err != io.EOF {
		return err
	}
	return nil
}

func subscribeR3labs(url string, t *tally) error {
	c := r3labs.NewClient(url, r3labs.ClientMaxBufferSize(maxEvent))
	return c.SubscribeRaw(func(ev *r3labs.Event) { count(t, ev.Data) }) // ends with the stream
}

func subscribeLaunchDarkly(url string, n int, t *tally) error {
	stream, err := ld.SubscribeWithURL(url, ld.StreamOptionInitialRetry(time.Hour))
	if err != nil {
		return err
	}
	go func() {
		for range stream.Errors { // drains the error at the end of the stream
		}
	}()
	defer stream.Close()
	for t.events < n {
		count(t, (<-stream.Events).Data())
	}
	return nil
}

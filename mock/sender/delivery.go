package sender

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/mock/internal/wait"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A Delivery is one webhook that a Client sends.
type Delivery struct {
	ID   string // the provider's id for it, if it has one
	Body []byte // the payload, with all events of a batch

	Header http.Header   // in addition to the Client's
	Age    time.Duration // since it was signed; negative: in the future
	Pace   time.Duration // delay before each tenth of the body
}

// An Attempt is one attempt to deliver.
type Attempt struct {
	ID     string
	Number int // among the attempts to deliver it, from 1
	At     time.Time
	Took   time.Duration
	Status int         // of the response, 0 if there was none
	Header http.Header // of the response
	Body   []byte      // of the response, at most 64 KiB
	Err    error       // why there was no complete response
}

// Accepted reports whether the response was a 2xx.
func (a Attempt) Accepted() bool { return a.Status >= 200 && a.Status <= 299 }

// signed returns an attempt at d as the provider signs it.
func (c *Client) signed(d Delivery, attempt int) (*provider.Request, error) {
	r := c.unsigned(d)
	if count := c.Provider.Retry.Count.Path; len(count) > 0 {
		r.Body = numbered(r.Body, count[0], attempt-1+c.Provider.Retry.From)
	}
	if err := c.Provider.Sign(r, d.ID); err != nil {
		return nil, err
	}
	return r, nil
}

func (c *Client) unsigned(d Delivery) *provider.Request {
	r := &provider.Request{
		Method: http.MethodPost, URL: c.URL, Body: bytes.Clone(d.Body), Time: time.Now().Add(-d.Age),
		Header: http.Header{"Content-Type": {"application/json"}},
	}
	for _, h := range []http.Header{c.Header, d.Header} {
		for name, values := range h {
			r.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	}
	return r
}

// request returns r as an HTTP request. It numbers retries if the provider does so in a header.
func (c *Client) request(ctx context.Context, d Delivery, r *provider.Request, attempt int) (*http.Request, error) {
	var body io.Reader = bytes.NewReader(r.Body)
	if d.Pace > 0 {
		body = &slowBody{body: r.Body, piece: max(len(r.Body)/10, 1), pace: d.Pace, ctx: ctx}
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return nil, err
	}
	req.Header, req.ContentLength = r.Header.Clone(), int64(len(r.Body))
	if count := c.Provider.Retry.Count.Header; count != "" && attempt > 1 {
		req.Header.Set(count, strconv.Itoa(attempt-1+c.Provider.Retry.From))
	}
	return req, nil
}

// A slowBody waits before each piece.
type slowBody struct {
	body  []byte
	piece int
	pace  time.Duration
	ctx   context.Context
}

func (s *slowBody) Read(p []byte) (int, error) {
	if len(s.body) == 0 {
		return 0, io.EOF
	}
	wait.For(s.ctx, s.pace)
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	n := copy(p[:min(len(p), s.piece)], s.body)
	s.body = s.body[n:]
	return n, nil
}

// numbered returns a body with the number of the attempt in the member that a gjson path names, if
// the body has it.
func numbered(body []byte, path string, number int) []byte {
	name := path[strings.LastIndexByte(path, '.')+1:]
	member := regexp.MustCompile(`("` + regexp.QuoteMeta(name) + `"\s*:\s*)[0-9]+`)
	return member.ReplaceAll(body, fmt.Appendf(nil, "${1}%d", number))
}

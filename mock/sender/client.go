package sender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/bridge"
	"github.com/steadfeed/steadfeed/mock/internal/wait"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A Client posts webhooks as a provider does: signed, and retried after a response that is not
// 2xx. The provider's Retry determines whether a retry is signed again or repeats the bytes and the
// signature of the first request, and which responses end the retries. A provider that counts its
// attempts, in a header or in a number that the body has, does so. A receiver accepts deliveries only after its
// subscription has connected: wait for that with synctest.Wait in a bubble, or with
// client.Trace. Methods may be called from any goroutine. Set the fields before the first call.
type Client struct {
	// Provider signs, with its first secret. For a receiver with provider.Tenants, it is one without
	// Tenants that has the secret of a tenant; if a header names the tenant, set it in Header.
	// Required.
	Provider *provider.Provider

	// URL is where the receiver is. If Provider signs the URL, it must be that of the receiver.
	// Required.
	URL string

	// Client sends the requests. It may be that of a [mock.Server] whose handler is the receiver.
	// Redirects are not followed. Default: a client with http.DefaultTransport.
	Client *http.Client

	// Header is sent with each delivery, for example the header with the event's type. Default:
	// a Content-Type of application/json.
	Header http.Header

	// Retries are the delays before each retry of a delivery. A longer Retry-After takes
	// precedence. Default: Retry.Waits of the provider, which is empty for GitHub, for example,
	// or 10 s, 1 min, 10 min and 1 h if the provider's delays are not known.
	Retries []time.Duration

	// Timeout is the maximum time for a response: a later 2xx is a failure too. Default: the
	// provider's Deadline plus 10 %, or 11 s without one.
	Timeout time.Duration

	mu  sync.Mutex
	log []Attempt
}

// Log returns all attempts that have ended, in the order in which they ended.
func (c *Client) Log() []Attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.log)
}

// Send posts d until it is accepted, and returns the last attempt. The error reports that the
// sender gave up, the cause of ctx, or why d cannot be sent at all.
func (c *Client) Send(ctx context.Context, d Delivery) (Attempt, error) {
	if c.Provider == nil {
		return Attempt{}, errNoProvider
	}
	waits := c.Retries
	if waits == nil {
		waits = c.Provider.Retry.Waits
	}
	if waits == nil {
		waits = defaultWaits()
	}
	var first *provider.Request
	for n := 1; ; n++ {
		r, err := first, error(nil)
		if r == nil || !c.Provider.Retry.Verbatim {
			r, err = c.signed(d, n)
			first = r
		}
		if err != nil {
			return Attempt{}, err
		}
		sent, err := c.post(ctx, d, r, n)
		switch {
		case err != nil || sent.Accepted():
			return sent, err
		case ctx.Err() != nil:
			return sent, context.Cause(ctx)
		case n > len(waits) || c.isFinal(sent):
			return sent, fmt.Errorf("sender: delivery %s: gave up after %d attempts, the last with status %d", d.ID, n, sent.Status)
		}
		wait.For(ctx, max(waits[n-1], retryAfter(sent.Header)))
	}
}

// Play sends the events of a script in order, each after the one before was accepted, and waits
// where the script pauses. Malformed bytes are posted once, without a signature. Other
// steps are about connections, which webhooks do not have, and are skipped. Play returns the
// error of Send for the first event that is not accepted.
func (c *Client) Play(ctx context.Context, script ...mock.Step) error {
	for _, s := range script {
		var err error
		switch step := bridge.StepOf(s); {
		case step.Pause > 0:
			wait.For(ctx, step.Pause)
		case step.Raw != nil:
			d := Delivery{ID: "malformed", Body: step.Raw}
			_, err = c.post(ctx, d, c.unsigned(d), 1)
		case step.Event:
			_, err = c.Send(ctx, Delivery{ID: step.Frame.ID, Body: step.Frame.Data})
		}
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Post posts d once. The error reports why d cannot be sent; a failed request is reported in
// Attempt.Err.
func (c *Client) Post(ctx context.Context, d Delivery) (Attempt, error) {
	if c.Provider == nil {
		return Attempt{}, errNoProvider
	}
	r, err := c.signed(d, 1)
	if err != nil {
		return Attempt{}, err
	}
	return c.post(ctx, d, r, 1)
}

// post makes one attempt with r. The error is about d; a failed request is reported in
// Attempt.Err.
func (c *Client) post(ctx context.Context, d Delivery, r *provider.Request, attempt int) (Attempt, error) {
	if c.Provider == nil {
		return Attempt{}, errNoProvider
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, c.Provider.Deadline*11/10, 11*time.Second))
	defer cancel()
	req, err := c.request(ctx, d, r, attempt)
	if err != nil {
		return Attempt{}, err
	}
	sent := Attempt{ID: d.ID, Number: attempt, At: time.Now()}
	resp, err := c.client().Do(req)
	if err == nil {
		sent.Status, sent.Header = resp.StatusCode, resp.Header
		sent.Body, err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		resp.Body.Close()
	}
	sent.Err, sent.Took = err, time.Since(sent.At)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, sent)
	return sent, nil
}

// client returns a copy of Client that does not follow redirects.
func (c *Client) client() *http.Client {
	own := new(http.Client)
	if c.Client != nil {
		*own = *c.Client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return own
}

var errNoProvider = errors.New("sender: Client.Provider: must be set")

// defaultWaits returns the delays for a provider whose documentation does not list them.
func defaultWaits() []time.Duration {
	return []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}
}

// isFinal reports whether the provider does not retry after this response.
func (c *Client) isFinal(sent Attempt) bool {
	final := c.Provider.Retry.Final
	return final != nil && sent.Status != 0 && final(provider.Answer{Status: sent.Status, Header: sent.Header, Body: sent.Body})
}

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}

package sender

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
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
// 2xx. The provider's Retry determines whether a retry is signed anew or repeats the first
// request, and which responses end the retries. A receiver accepts deliveries only after its
// subscription has connected: wait for that with synctest.Wait in a bubble, or with
// client.Trace. Methods may be called from any goroutine. Set the fields before the first call.
type Client struct {
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

	provider *provider.Provider
	url      string
	client   *http.Client

	mu  sync.Mutex
	log []Attempt
}

// A Delivery is one webhook that a Client sends.
type Delivery struct {
	ID   string // the provider's id for it, if it has one
	Body []byte // the payload, with all events of a batch

	Header http.Header   // in addition to the Client's
	Forged bool          // with an invalid signature
	Age    time.Duration // since it was signed; negative: in the future
	Gzip   bool          // compress the body before it is signed
	Pace   time.Duration // delay before each tenth of the body
}

// An Attempt is one attempt to deliver.
type Attempt struct {
	ID     string
	Number int // of the attempts to deliver it, from 1
	At     time.Time
	Took   time.Duration
	Status int         // of the response, 0 if there was none
	Header http.Header // of the response
	Body   []byte      // of the response, at most 64 KiB
	Err    error       // why there was no complete response
}

// Accepted reports whether the response was a 2xx.
func (a Attempt) Accepted() bool { return a.Status >= 200 && a.Status <= 299 }

// New returns a Client that signs as p does, with its first secret, and posts to url. If
// p signs the URL, url must be the Webhook's URL. client may be that of a [mock.Server] whose
// handler is the receiver; nil means a client with http.DefaultTransport. Redirects are not
// followed.
func New(p *provider.Provider, url string, client *http.Client) *Client {
	own := &http.Client{}
	if client != nil {
		*own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{provider: p, url: url, client: own}
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
	waits := c.Retries
	if waits == nil {
		waits = c.provider.Retry.Waits
	}
	if waits == nil {
		waits = defaultWaits()
	}
	var first *provider.Request
	for n := 1; ; n++ {
		r, err := first, error(nil)
		if r == nil || !c.provider.Retry.Verbatim {
			r, err = c.signed(d)
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
// where the script pauses. Malformed bytes are posted once, with an invalid signature. Other
// steps are about connections, which webhooks do not have, and are skipped. Play returns the
// error of Send for the first event that is not accepted.
func (c *Client) Play(ctx context.Context, script ...mock.Step) error {
	for _, s := range script {
		var err error
		switch step := bridge.StepOf(s); {
		case step.Pause > 0:
			wait.For(ctx, step.Pause)
		case step.Raw != nil:
			_, err = c.Post(ctx, Delivery{ID: "malformed", Body: step.Raw, Forged: true})
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
	r, err := c.signed(d)
	if err != nil {
		return Attempt{}, err
	}
	return c.post(ctx, d, r, 1)
}

// SendAll sends deliveries in an order that seed determines, atOnce of them at a time. It
// returns when Send has returned for each; the error joins those of Send.
func (c *Client) SendAll(ctx context.Context, deliveries []Delivery, atOnce int, seed uint64) error {
	order := rand.New(rand.NewPCG(seed, 0)).Perm(len(deliveries))
	var next, failed = make(chan int), make([]error, len(deliveries))
	var senders sync.WaitGroup
	for range max(atOnce, 1) {
		senders.Go(func() {
			for i := range next {
				_, failed[i] = c.Send(ctx, deliveries[i])
			}
		})
	}
	for _, i := range order {
		next <- i
	}
	close(next)
	senders.Wait()
	return errors.Join(failed...)
}

// post makes one attempt with r. The error is about d; a failed request is reported in
// Attempt.Err.
func (c *Client) post(ctx context.Context, d Delivery, r *provider.Request, attempt int) (Attempt, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, c.provider.Deadline*11/10, 11*time.Second))
	defer cancel()
	req, err := c.request(ctx, d, r, attempt)
	if err != nil {
		return Attempt{}, err
	}
	sent := Attempt{ID: d.ID, Number: attempt, At: time.Now()}
	resp, err := c.client.Do(req)
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

// signed returns d as the provider signs it.
func (c *Client) signed(d Delivery) (*provider.Request, error) {
	r := &provider.Request{
		Method: http.MethodPost, URL: c.url, Body: bytes.Clone(d.Body), Time: time.Now().Add(-d.Age),
		Header: http.Header{"Content-Type": {"application/json"}},
	}
	for _, h := range []http.Header{c.Header, d.Header} {
		for name, values := range h {
			r.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	}
	if d.Gzip {
		compress(r)
	}
	unsigned := provider.Request{URL: r.URL, Header: r.Header.Clone(), Body: bytes.Clone(r.Body)}
	if err := c.provider.Sign(r, d.ID); err != nil {
		return nil, err
	}
	if d.Forged {
		forge(r, &unsigned, d.ID)
	}
	return r, nil
}

// request returns r as an HTTP request. It numbers retries if the provider does so in a header.
func (c *Client) request(ctx context.Context, d Delivery, r *provider.Request, attempt int) (*http.Request, error) {
	var body io.Reader = bytes.NewReader(r.Body)
	if d.Pace > 0 {
		body = &slowly{body: r.Body, piece: max(len(r.Body)/10, 1), pace: d.Pace, ctx: ctx}
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return nil, err
	}
	req.Header, req.ContentLength = r.Header.Clone(), int64(len(r.Body))
	if count := c.provider.Retry.Count.Header; count != "" && attempt > 1 {
		req.Header.Set(count, strconv.Itoa(attempt-1+c.provider.Retry.From))
	}
	return req, nil
}

// forge changes the signature that signing has added: the longest new value in the body, or
// else in the header, or else the URL. Everything else stays readable.
func forge(r, unsigned *provider.Request, id string) {
	if proof := longestOf(addedToBody(r.Body, unsigned.Body)); proof != "" {
		r.Body = bytes.ReplaceAll(r.Body, []byte(proof), []byte(alter(proof)))
		return
	}
	lines := make(map[string]string) // by value
	for name, values := range r.Header {
		if len(values) > 0 && values[0] != id && !slices.Equal(values, unsigned.Header[name]) {
			lines[values[0]] = name
		}
	}
	if proof := longestOf(slices.Collect(maps.Keys(lines))); proof != "" {
		r.Header[lines[proof]][0] = alter(proof)
		return
	}
	if r.URL != unsigned.URL {
		r.URL = alter(r.URL)
		return
	}
	for _, value := range addedToBody(r.Body, nil) { // the body was signed before
		r.Body = bytes.ReplaceAll(r.Body, []byte(value), []byte(alter(value)))
	}
}

// addedToBody returns the strings of a JSON body, except names, that were not in it before,
// with their quotes.
func addedToBody(body, before []byte) (added []string) {
	for _, m := range regexp.MustCompile(`("(?:[^"\\]|\\.)*")\s*[,}\]]`).FindAllSubmatch(body, -1) {
		if !bytes.Contains(before, m[1]) {
			added = append(added, string(m[1]))
		}
	}
	return added
}

func longestOf(values []string) (most string) {
	for _, v := range values {
		if len(v) > len(most) {
			most = v
		}
	}
	return most
}

// alter changes the third letter or digit from the end of s: the last ones of Base64 may be
// insignificant.
func alter(s string) string {
	b := []byte(s)
	seen := 0
	for i := len(b) - 1; i >= 0; i-- {
		c := b[i] | 0x20
		if (c < 'a' || c > 'z') && (b[i] < '0' || b[i] > '9') {
			continue
		}
		if seen++; seen == 3 || i == 0 {
			b[i] = map[bool]byte{true: '1', false: '0'}[b[i] == '0']
			break
		}
	}
	return string(b)
}

func compress(r *provider.Request) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(r.Body)
	z.Close()
	r.Body = b.Bytes()
	r.Header.Set("Content-Encoding", "gzip")
}

// A slowly is a body that is sent slowly.
type slowly struct {
	body  []byte
	piece int
	pace  time.Duration
	ctx   context.Context
}

func (s *slowly) Read(p []byte) (int, error) {
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

// defaultWaits returns the delays for a provider whose documentation does not list them.
func defaultWaits() []time.Duration {
	return []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}
}

// isFinal reports whether the provider does not retry after this response.
func (c *Client) isFinal(sent Attempt) bool {
	final := c.provider.Retry.Final
	return final != nil && sent.Status != 0 && final(provider.Answer{Status: sent.Status, Header: sent.Header, Body: sent.Body})
}

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// Ask makes a request with which providers verify an endpoint: GET with a query, as Meta,
// WebSub, X and Dropbox do, or OPTIONS, as CloudEvents does. It returns the response as an
// attempt that is not part of the Log. The error reports an invalid URL or method; a failed
// request is reported in Attempt.Err.
func (c *Client) Ask(ctx context.Context, method string, query url.Values, header http.Header) (Attempt, error) {
	u, err := url.Parse(c.url)
	if err != nil {
		return Attempt{}, err
	}
	q := u.Query()
	for name, values := range query {
		q[name] = values
	}
	u.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, 10*time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return Attempt{}, err
	}
	req.Header = header.Clone()
	sent := Attempt{Number: 1, At: time.Now()}
	resp, err := c.client.Do(req)
	if err != nil {
		sent.Err = err
		return sent, nil
	}
	defer resp.Body.Close()
	sent.Status, sent.Header = resp.StatusCode, resp.Header
	sent.Body, sent.Err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	sent.Took = time.Since(sent.At)
	return sent, nil
}

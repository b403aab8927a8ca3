package mock

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

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A Sender posts webhooks as a provider does: signed, and retried after a response that is not
// 2xx. The provider's Retry determines whether a retry is signed anew or repeats the first
// request, and which responses end the retries. A receiver accepts deliveries only after its
// subscription has connected: wait for that with synctest.Wait in a bubble, or with
// client.Trace. Methods may be called from any goroutine. Set the fields before the first call.
type Sender struct {
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
	log []Sent
}

// A Delivery is one webhook that a Sender sends.
type Delivery struct {
	ID   string // the provider's id for it, if it has one
	Body []byte // the payload, with all events of a batch

	Header http.Header   // in addition to the Sender's
	Forged bool          // with an invalid signature
	Age    time.Duration // since it was signed; negative: in the future
	Gzip   bool          // compress the body before it is signed
	Pace   time.Duration // delay before each tenth of the body
}

// Sent is one attempt to deliver.
type Sent struct {
	ID      string
	Attempt int // of the delivery, from 1
	At      time.Time
	Took    time.Duration
	Status  int         // of the response, 0 if there was none
	Header  http.Header // of the response
	Body    []byte      // of the response, at most 64 KiB
	Err     error       // why there was no complete response
}

// Accepted reports whether the response was a 2xx.
func (s Sent) Accepted() bool { return s.Status >= 200 && s.Status <= 299 }

// NewSender returns a Sender that signs as p does, with its first secret, and posts to url. If
// p signs the URL, url must be the Webhook's URL. client may be that of a [Server] whose
// handler is the receiver; nil means a client with http.DefaultTransport. Redirects are not
// followed.
func NewSender(p *provider.Provider, url string, client *http.Client) *Sender {
	own := &http.Client{}
	if client != nil {
		*own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Sender{provider: p, url: url, client: own}
}

// Log returns all attempts that have ended, in the order in which they ended.
func (s *Sender) Log() []Sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// Send posts d until it is accepted, and returns the last attempt. The error reports that the
// sender gave up, the cause of ctx, or why d cannot be sent at all.
func (s *Sender) Send(ctx context.Context, d Delivery) (Sent, error) {
	waits := s.Retries
	if waits == nil {
		waits = s.provider.Retry.Waits
	}
	if waits == nil {
		waits = defaultWaits()
	}
	var first *provider.Request
	for n := 1; ; n++ {
		r, err := first, error(nil)
		if r == nil || !s.provider.Retry.Verbatim {
			r, err = s.signed(d)
			first = r
		}
		if err != nil {
			return Sent{}, err
		}
		sent, err := s.post(ctx, d, r, n)
		switch {
		case err != nil || sent.Accepted():
			return sent, err
		case ctx.Err() != nil:
			return sent, context.Cause(ctx)
		case n > len(waits) || s.isFinal(sent):
			return sent, fmt.Errorf("mock: delivery %s: gave up after %d attempts, the last with status %d", d.ID, n, sent.Status)
		}
		pause(ctx, nil, time.Now().Add(max(waits[n-1], retryAfter(sent.Header))))
	}
}

// Play sends the events of a script in order, each after the one before was accepted, and waits
// where the script pauses. Malformed bytes are posted once, with an invalid signature. Other
// steps are about connections, which webhooks do not have, and are skipped. Play returns the
// error of Send for the first event that is not accepted.
func (s *Sender) Play(ctx context.Context, script ...Step) error {
	for _, step := range script {
		var err error
		switch {
		case step.act == pauses:
			pause(ctx, nil, time.Now().Add(step.rest))
		case step.act == garbles:
			_, err = s.Post(ctx, Delivery{ID: "malformed", Body: step.raw, Forged: true})
		case step.isEvent():
			_, err = s.Send(ctx, Delivery{ID: step.frame.ID, Body: step.frame.Data})
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
// Sent.Err.
func (s *Sender) Post(ctx context.Context, d Delivery) (Sent, error) {
	r, err := s.signed(d)
	if err != nil {
		return Sent{}, err
	}
	return s.post(ctx, d, r, 1)
}

// SendAll sends deliveries in an order that seed determines, atOnce of them at a time. It
// returns when Send has returned for each; the error joins those of Send.
func (s *Sender) SendAll(ctx context.Context, deliveries []Delivery, atOnce int, seed uint64) error {
	order := rand.New(rand.NewPCG(seed, 0)).Perm(len(deliveries))
	var next, failed = make(chan int), make([]error, len(deliveries))
	var senders sync.WaitGroup
	for range max(atOnce, 1) {
		senders.Go(func() {
			for i := range next {
				_, failed[i] = s.Send(ctx, deliveries[i])
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
// Sent.Err.
func (s *Sender) post(ctx context.Context, d Delivery, r *provider.Request, attempt int) (Sent, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.Timeout, s.provider.Deadline*11/10, 11*time.Second))
	defer cancel()
	req, err := s.request(ctx, d, r, attempt)
	if err != nil {
		return Sent{}, err
	}
	sent := Sent{ID: d.ID, Attempt: attempt, At: time.Now()}
	resp, err := s.client.Do(req)
	if err == nil {
		sent.Status, sent.Header = resp.StatusCode, resp.Header
		sent.Body, err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		resp.Body.Close()
	}
	sent.Err, sent.Took = err, time.Since(sent.At)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, sent)
	return sent, nil
}

// signed returns d as the provider signs it.
func (s *Sender) signed(d Delivery) (*provider.Request, error) {
	r := &provider.Request{
		Method: http.MethodPost, URL: s.url, Body: bytes.Clone(d.Body), Time: time.Now().Add(-d.Age),
		Header: http.Header{"Content-Type": {"application/json"}},
	}
	for _, h := range []http.Header{s.Header, d.Header} {
		for name, values := range h {
			r.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	}
	if d.Gzip {
		compress(r)
	}
	unsigned := provider.Request{URL: r.URL, Header: r.Header.Clone(), Body: bytes.Clone(r.Body)}
	if err := s.provider.Sign(r, d.ID); err != nil {
		return nil, err
	}
	if d.Forged {
		forge(r, &unsigned, d.ID)
	}
	return r, nil
}

// request returns r as an HTTP request. It numbers retries if the provider does so in a header.
func (s *Sender) request(ctx context.Context, d Delivery, r *provider.Request, attempt int) (*http.Request, error) {
	var body io.Reader = bytes.NewReader(r.Body)
	if d.Pace > 0 {
		body = &slowly{body: r.Body, piece: max(len(r.Body)/10, 1), pace: d.Pace, ctx: ctx}
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return nil, err
	}
	req.Header, req.ContentLength = r.Header.Clone(), int64(len(r.Body))
	if count := s.provider.Retry.Count.Header; count != "" && attempt > 1 {
		req.Header.Set(count, strconv.Itoa(attempt-1+s.provider.Retry.From))
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
	pause(s.ctx, nil, time.Now().Add(s.pace))
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
func (s *Sender) isFinal(sent Sent) bool {
	final := s.provider.Retry.Final
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
// request is reported in Sent.Err.
func (s *Sender) Ask(ctx context.Context, method string, query url.Values, header http.Header) (Sent, error) {
	u, err := url.Parse(s.url)
	if err != nil {
		return Sent{}, err
	}
	q := u.Query()
	for name, values := range query {
		q[name] = values
	}
	u.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.Timeout, 10*time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return Sent{}, err
	}
	req.Header = header.Clone()
	sent := Sent{Attempt: 1, At: time.Now()}
	resp, err := s.client.Do(req)
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

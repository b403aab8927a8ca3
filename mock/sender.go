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

	"github.com/steadfeed/steadfeed/transport/provider"
)

// A Sender posts webhooks as one of their senders does: signed, and again after an answer
// that is no 2xx. A repetition is signed anew, or is the first request once more, and an answer
// ends them, as the provider's Retry says. Nobody is there to take one before the receiver's subscription has
// connected: wait for that with synctest.Wait in a bubble, or with client.Trace. Its methods
// may be called from any goroutine; its fields are set before.
type Sender struct {
	// Header is sent with each delivery, such as the header of the event's type.
	// Default: a Content-Type of application/json.
	Header http.Header

	// Retries are the waits before a delivery is sent again; a Retry-After that is longer
	// counts instead. Default: Retry.Waits of the provider, such as none for GitHub, or 10 s,
	// 1 min, 10 min and 1 h if they are not known.
	Retries []time.Duration

	// Timeout is how long an answer may take: a later 2xx is a failure too. Default: the
	// deadline of the provider and a tenth.
	Timeout time.Duration

	provider *provider.Provider
	url      string
	client   *http.Client

	mu  sync.Mutex
	log []Sent
}

// A Delivery is what a Sender sends.
type Delivery struct {
	ID   string // the sender's name for it, where it has one
	Body []byte // for a batch, with all its events

	Header http.Header   // in addition to the Sender's
	Forged bool          // with a proof that does not match
	Age    time.Duration // how long ago it was signed; negative: it will be
	Gzip   bool          // the body is compressed, and signed as that
	Pace   time.Duration // before each tenth of the body
}

// Sent is one attempt to deliver.
type Sent struct {
	ID      string
	Attempt int // of the delivery, from 1
	At      time.Time
	Took    time.Duration
	Status  int         // of the answer, 0 if there was none
	Header  http.Header // of the answer
	Body    []byte      // of the answer, at most 64 KiB
	Err     error       // why there was none
}

// Accepted tells whether the answer was a 2xx.
func (s Sent) Accepted() bool { return s.Status >= 200 && s.Status <= 299 }

// NewSender returns a Sender that signs as p does, with its first secret, and posts to
// url, which must be the Webhook's URL where p signs it. client may be that of a [Server],
// with a receiver as its handler; nil is one of http.DefaultTransport.
func NewSender(p *provider.Provider, url string, client *http.Client) *Sender {
	own := &http.Client{}
	if client != nil {
		*own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Sender{provider: p, url: url, client: own}
}

// Log returns all attempts that are over, in the order of their ends.
func (s *Sender) Log() []Sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// Send posts d until it is accepted, and returns the last attempt. The error says that the
// sender has given up, or why d cannot be sent at all.
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
			return sent, fmt.Errorf("mock: delivery %s: given up after %d attempts, the last with status %d", d.ID, n, sent.Status)
		}
		pause(ctx, nil, time.Now().Add(max(waits[n-1], retryAfter(sent.Header))))
	}
}

// Play sends the events of a script in its order, each when the one before is accepted, and
// waits where the script pauses. Malformed bytes are posted once, with a proof that does not
// match them; what else a script says is of connections, which webhooks have none of, and is
// passed over. It returns what Send does for the first event that is given up.
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

// Post posts d once.
func (s *Sender) Post(ctx context.Context, d Delivery) (Sent, error) {
	r, err := s.signed(d)
	if err != nil {
		return Sent{}, err
	}
	return s.post(ctx, d, r, 1)
}

// SendAll sends deliveries in an order that seed decides, with so many on their way at
// once. It returns when each of them is accepted or given up; the error joins those of
// Send.
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

// post makes one attempt with r. The error is about d; what happens on the way is in Sent.
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

// signed is d as the sender signs it.
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

// request is r as it goes over the wire. Repetitions are counted where the sender does so in
// a header.
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

// forge changes the proof that signing has added: the longest new value in the body, or
// else in the header, or else the URL. Everything else stays as it can be read.
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
	for _, value := range addedToBody(r.Body, nil) { // which was signed before it was given to us
		r.Body = bytes.ReplaceAll(r.Body, []byte(value), []byte(alter(value)))
	}
}

// addedToBody returns the strings of a JSON body, but for names, that were not in it
// before, with their quotes.
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

// alter changes the last letter or digit of s but two: in Base64 the very last ones may
// stand for nothing.
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

// slowly is a body that takes its time.
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

// defaultWaits are for a sender whose documentation does not say when it repeats.
func defaultWaits() []time.Duration {
	return []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}
}

// isFinal reports whether the sender gives a delivery up after an answer.
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

// Ask makes the requests with which senders find out whether a receiver is there: a GET
// with a query, as Meta, WebSub, X and Dropbox do, and OPTIONS, as CloudEvents does. It
// returns the answer as an attempt that is not part of the Log.
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

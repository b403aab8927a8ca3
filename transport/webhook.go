package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steadfeed/steadfeed/transport/internal/joined"
	"github.com/steadfeed/steadfeed/transport/provider"
)

const (
	defaultMaxBody   = 1 << 20
	defaultBuffer    = 256
	mostBuffer       = 1 << 20
	defaultDedupe    = 1 << 16
	defaultDedupeFor = 72 * time.Hour
	defaultDeadline  = 10 * time.Second
)

// Webhook is a feed that others push: signed POSTs become events, and each POST is
// answered once its events are acknowledged. Mount it as a http.Handler in any mux, or set
// Addr to give it a listener of its own; either way it is the transport of one
// subscription. Use it as *Webhook and do not change it once it is in use. ServeHTTP may
// be called from any goroutine; only one Conn is open at a time. Handshakes, with which a
// sender asks whether a receiver is there, are answered while one is. client.Subscribe may
// return before that: what must not be refused meanwhile, such as the first request of a
// test, waits for Trace.Connected.
//
// # Delivery
//
// A sender gets a 2xx only for what was acknowledged ([AckHandled]), or taken into the
// consumer's buffer ([AckQueued]). A refusal (Nack), a full buffer, a Conn that is being
// closed, and no Conn at all are 503 with a Retry-After of a few seconds at random, the
// last three before the body is read. What is not acknowledged within the provider's
// Deadline is answered as that sender needs it, Answers.Late, and the event stays with the
// consumer: when the sender repeats it, that request waits for the same acknowledgement.
//
// A delivery of several events becomes as many messages, acknowledged one by one and
// answered when all are: one refusal makes the answer a refusal. When the sender repeats
// it, those that were acknowledged are passed over.
//
// A delivery that was acknowledged is answered with a 2xx when it comes again, and brings
// no event. It is known by its id, and by its body too where the signature does not cover
// the id. A batch without an id is known by its body if each of its events has one. What has
// none at all, such as a notice of Dropbox's, is delivered each time it comes: the same body
// may be news. This memory is bounded, see Dedupe, and gone after a restart.
//
// [Message].Attempt counts how often a delivery was handed out, as far as it is known by its
// id: it grows when the sender repeats what was refused. The count is bounded as well. A
// sender's own count is taken if it is higher, as after refusals because the buffer was full.
//
// # Jobs longer than the deadline
//
// With AckHandled a job must end within the provider's Deadline. A later one does its work,
// but the sender has had its answer: GitHub shows a failure and never repeats it, Stripe
// repeats the delivery for three days and gets a 2xx once the job is acknowledged. AckQueued
// answers in time, but what is in the buffer is lost in a crash. Where jobs take long, keep
// AckHandled and let the consumer only store the event, in a table or a queue of its own, and
// do the job from there. Key the row by Event.ID: a crash between the write and the answer
// makes the sender repeat the event.
//
// # Security
//
// Nothing is parsed before the signature has matched, and the bytes that were verified are
// the bytes that are delivered. The body is limited before anything is computed, and so is
// the time that it may take. One with a content coding is 415: nothing is decompressed. What is
// refused leaves nothing behind. A panic of the provider's is answered with 500. A byte order
// mark before JSON is skipped to find ids and types, and stays in the Data of a body that is
// one event; decode.JSON skips it as well.
//
// [Message].Header is a copy of the request's header, without what authenticates the sender,
// cookies, and what belongs to the connection; of the query nothing becomes an event. It names in Steadfeed-Provider the Name of the provider, in
// Steadfeed-Proof what was proven ("body", "metadata", "bearer" or "none"), and in
// Steadfeed-Key which of several secrets has matched if it was not the first: 1 is the
// second. Whatever the sender has put there is replaced.
//
// # Several processes
//
// Behind a load balancer each process takes what it is given; none knows what another has
// acknowledged, so a delivery that is repeated may be delivered by two of them, and work
// that must not be done twice is to be keyed by Event.ID in a store of their own. All of
// them have the same secrets. The balancer must pass path, query, body and headers as they are,
// should take a process out when it answers 503, and must wait longer than the Deadline.
//
// nginx has a limit of 1 MiB for bodies, client_max_body_size, whatever MaxBody is, and
// answers 413 itself. A gateway that writes the query anew, such as Amazon API Gateway, breaks
// the signatures of senders that sign it, such as Twilio.
//
// # Limits
//
// The server that Addr starts is bounded in the time and size of headers, in idle time and
// in connections. In a mux that is the mux's server's part; set its ReadHeaderTimeout. A
// slow body is cut off at the Deadline through the ResponseWriter: around one that has no
// Unwrap, such as that of http.TimeoutHandler, set the server's ReadTimeout as well. A
// pattern with a method, such as "POST /hooks", keeps away the handshakes that are a GET or
// OPTIONS.
type Webhook struct {
	// Provider is the one sender, on whatever path. Required, unless Providers is set.
	Provider *provider.Provider

	// Providers are the senders by the path of the request, such as "/hooks/github", which
	// must match exactly: without escapes, and without what http.StripPrefix takes away. Any
	// other path is 404. Instead of Provider.
	Providers map[string]*provider.Provider

	// URL is where the senders believe they send to, without query: scheme, host and
	// path; with Providers, only what comes before their paths. Senders that sign it need
	// it. Default: requests are verified by their path alone.
	URL string

	// Ack says what a 2xx means. Default AckHandled.
	Ack AckMode

	// MaxBody is the most bytes of a body, as they are sent. A larger one is 413. GitHub,
	// for one, sends up to 25 MiB. Default 1 MiB.
	//
	// Bodies of more than 4 KiB, or over HTTP/2, that have not all come or are not verified
	// yet, have 64 MiB of memory together, or 4 times MaxBody if that is more. Before it is
	// used up, those that have had their part for longest are answered as Answers.Busy says.
	MaxBody int

	// Buffer is how many deliveries may wait for Conn.Read at most, of at most 8 MiB or
	// one alone. At most 1,048,576. Default 256.
	Buffer int

	// Dedupe is how many acknowledged deliveries of each provider are remembered, and
	// DedupeFor for how long; the oldest go first. Negative: none; each delivery is then
	// delivered, also while its first one is in hand. Default 65,536 and 72 h.
	Dedupe    int
	DedupeFor time.Duration

	// OnRefused is told of each request that did not get a 2xx, also of one whose path is
	// none of Providers. It is called from ServeHTTP, concurrently; the answer is held back
	// until it returns, and a forger may make it be called often. Default none.
	OnRefused func(*RefusedError)

	// Addr makes Open listen on "host:port", and Close end it: new requests are 503 then,
	// and those in hand are waited for, less than a second. An address that is in use,
	// forbidden or unknown is final, unless this Webhook has listened on it before. Default:
	// no listener; ServeHTTP is called by the user's server.
	Addr string

	// Listener is used instead of Addr, for one Conn, which closes it: another one, such as
	// after Subscription.Reconnect, fails for good. Default none.
	Listener net.Listener

	// TLS is the configuration of the own listener, with a certificate in it, and
	// ClientAuth for mutual TLS. Handshakes of TLS that fail are not reported, not even to
	// OnRefused. Default: no TLS.
	TLS *tls.Config

	conn atomic.Pointer[webhookConn] // the one that is open

	mu       sync.Mutex         // held for a few instructions, never across a wait
	ledgers  map[string]*ledger // by path; they outlive a Conn
	heard    bool               // Listener was used
	listened bool               // Addr was
	drained  bool               // permanently
	slab     slab
	budget   budget
	free     sync.Pool // of *exchange
}

// AckMode says when a sender is told that its delivery was received.
type AckMode uint8

const (
	// AckHandled answers when the events are acknowledged. A crash before that makes
	// the sender repeat them.
	AckHandled AckMode = iota

	// AckQueued answers when the events are in the consumer's buffer: sooner, but what was
	// answered and not yet worked off is lost in a crash, and if the subscription is closed
	// without Drain. The sender no longer hears of a refusal; the consumer's own redelivery
	// takes its place.
	AckQueued
)

// Drain ends the feed cleanly and permanently: this Webhook accepts no delivery any more,
// whether a Conn is open, is opened later, or never was. Senders are answered as Answers.Busy
// says, by the listener of Addr as well, until the consumer has handled what was accepted.
//
// The Conn ends with ErrEnd when its deliveries are settled (with AckQueued, when they are in
// the consumer's buffer), and so does each that is opened later. The loop of a subscription
// handles what it has and ends without an error. Drain does not wait and may be called from
// any goroutine. Only Close ends the wait for a consumer that does not settle. To receive
// again, use another Webhook.
func (w *Webhook) Drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drained = true
	if c := w.conn.Load(); c != nil {
		c.drain()
	}
}

// Positionless returns true: what was missed, only the sender can repeat.
func (w *Webhook) Positionless() bool { return true }

// Validate reports every option that cannot work, joined into one error.
// Open refuses to start with the same error.
func (w *Webhook) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("Webhook."+field+": "+format, args...))
	}
	w.validateProviders(bad)
	if err := checkPublicURL(w.URL); err != nil {
		bad("URL", "%w", err)
	} else if name := w.signsURL(); w.URL == "" && name != "" {
		bad("URL", "is required: %s signs it", name)
	}
	if w.Ack > AckQueued {
		bad("Ack", "no such value: %d", w.Ack)
	}
	if w.MaxBody < 0 {
		bad("MaxBody", "%d is negative", w.MaxBody)
	}
	if w.Buffer < 0 {
		bad("Buffer", "%d is negative", w.Buffer)
	} else if w.Buffer > mostBuffer {
		bad("Buffer", "%d is more than %d", w.Buffer, mostBuffer)
	}
	if w.Dedupe < 0 && w.DedupeFor > 0 {
		bad("DedupeFor", "has no effect, because Dedupe is negative")
	}
	w.validateListener(bad)
	return errors.Join(errs...)
}

func (w *Webhook) validateProviders(bad func(field, format string, args ...any)) {
	if w.Provider == nil && len(w.Providers) == 0 {
		bad("Provider", "is required, or Providers")
	}
	if w.Provider != nil {
		if len(w.Providers) > 0 {
			bad("Providers", "cannot be set together with Provider")
		}
		for _, err := range problems(w.Provider) {
			bad("Provider", "%w", err)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(w.Providers)) {
		p := w.Providers[path]
		field := fmt.Sprintf("Providers[%q]", path)
		if path == "" || path[0] != '/' {
			bad(field, "a path starts with a slash")
		} else if strings.ContainsAny(path, "?#{") {
			bad(field, "is no path: it must match exactly, without query and wildcards")
		}
		if p == nil {
			bad(field, "is nil")
			continue
		}
		for _, err := range problems(p) {
			bad(field, "%w", err)
		}
	}
}

// problems returns what is wrong with a provider. One that says yes to what may be lost
// would lose it.
func problems(p *provider.Provider) []error {
	errs := joined.List(p.Validate())
	if p.Answers.Late.Status/100 == 2 || p.Answers.Busy.Status/100 == 2 {
		errs = append(errs, errors.New("in Answers, Late and Busy cannot have a 2xx status"))
	}
	return errs
}

func (w *Webhook) validateListener(bad func(field, format string, args ...any)) {
	if w.Addr != "" {
		if _, _, err := net.SplitHostPort(w.Addr); err != nil {
			bad("Addr", "want host:port")
		}
		if w.Listener != nil {
			bad("Listener", "cannot be set together with Addr")
		}
	}
	switch {
	case w.TLS == nil:
	case w.Addr == "" && w.Listener == nil:
		bad("TLS", "is for Addr or Listener; without them the TLS is that of the server around")
	case len(w.TLS.Certificates) == 0 && w.TLS.GetCertificate == nil && w.TLS.GetConfigForClient == nil:
		bad("TLS", "has no certificate")
	}
}

// signsURL returns the name of a provider whose signatures cover the URL, "" if none do.
func (w *Webhook) signsURL() string {
	if w.Provider != nil && w.Provider.SignsURL() {
		return w.Provider.Name
	}
	for _, path := range slices.Sorted(maps.Keys(w.Providers)) {
		if p := w.Providers[path]; p != nil && p.SignsURL() {
			return p.Name
		}
	}
	return ""
}

// checkPublicURL does not return the error of url.Parse, which would show the URL.
func checkPublicURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errors.New("want scheme://host/path, without user, query and fragment")
	}
	return nil
}

// provider returns who sends to a path, or nil.
func (w *Webhook) provider(path string) *provider.Provider {
	if w.Provider != nil {
		return w.Provider
	}
	return w.Providers[path]
}

func deadlineOf(p *provider.Provider) time.Duration {
	return orDefault(max(p.Deadline, 0), defaultDeadline)
}

// A RefusedError is a request that did not get a 2xx. Its text has nothing of the request,
// but names paths of Providers when none of them is the request's.
type RefusedError struct {
	Provider string // Name of the provider; empty if the path of the request has none
	Status   int    // what was answered
	Err      error  // why
}

func (e *RefusedError) Error() string {
	if e.Provider == "" {
		return fmt.Sprintf("transport: a request was answered %s: %v", status(e.Status), e.Err)
	}
	return fmt.Sprintf("transport: a delivery of %s was answered %s: %v", e.Provider, status(e.Status), e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// StatusCode returns Status.
func (e *RefusedError) StatusCode() int { return e.Status }

// Why a request is refused, where the provider does not say.
var (
	errNoPath   = errors.New("no provider has its path")
	errNoConn   = errors.New("no Conn is open: there is no subscription, or it is between two connections")
	errDraining = errors.New("the receiver is being closed, or drained")
	errFull     = errors.New("the buffer is full")
	errNacked   = errors.New("the consumer has refused it")
	errLate     = errors.New("not acknowledged in time")
	errGone     = errors.New("the request ended before the acknowledgement: the sender disconnected, or a handler around the Webhook timed out")
	errTooLarge = errors.New("the body is too large")
	errSlow     = errors.New("the body did not come in time")
	errCrowded  = errors.New("too many bodies that are not verified take up memory")
	errBody     = errors.New("the body broke off")
	errCoding   = errors.New("the body has a content coding, which a Webhook does not undo")
	errAnswer   = errors.New("the provider's own answer, to a handshake that it was not set up for or could not go through with")
	errMethod   = errors.New("the method is not POST")
	errPanic    = errors.New("the provider has panicked")
)

// ensure that a Webhook is both.
var (
	_ http.Handler = (*Webhook)(nil)
	_ Transport    = (*Webhook)(nil)
)

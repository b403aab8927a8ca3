package webhook

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/internal/joined"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const (
	defaultMaxBody   = 1 << 20
	defaultDedupe    = 1 << 16
	defaultDedupeFor = 72 * time.Hour
	defaultDeadline  = 10 * time.Second
)

// A Receiver is a feed that senders push with signed requests. Give it the sender's Provider,
// mount it as an http.Handler in any mux or set Addr for a built-in server, and pass it to
// client.Subscribe:
//
//	hook := &webhook.Receiver{Provider: provider.GitHub(secret)}
//	mux.Handle("/hooks/github", hook)
//	sub, err := client.Subscribe(ctx, hook, nil)
//
// A request becomes events, and is answered with a 2xx once its events are acknowledged. Event.ID is
// the sender's id, and Event.Delivery describes the request. To stop cleanly, call Drain, let the
// loop end, and then shut the server down.
//
// Use it as *Receiver, for one subscription, and do not change it once it is in use. ServeHTTP may
// be called from any goroutine; only one Listener is open at a time.
//
// # Delivery
//
// A sender gets a 2xx only for events that are acknowledged ([AckAfterHandling]) or in the
// subscription's buffer ([AckOnEnqueue]). Otherwise it gets
//
//   - Answers.Busy if the consumer refuses an event (Nack), if the buffer is full, if the Listener
//     is closing or if none is open, as before the first connection and during a reconnect. By
//     default, that is a 503 with a random Retry-After of 5 to 15 s.
//   - Answers.Late if the events are not acknowledged within the provider's Deadline. They stay with
//     the consumer: when the sender repeats the delivery, that request waits for the same
//     acknowledgement.
//
// Events are handed to the subscription on the goroutine of the request. Its buffer, Options.Buffer
// of package client, is the only one. While it is full, requests are refused before their body is
// read; handshakes, by which a sender verifies the endpoint, are answered nevertheless.
//
// A delivery of several events becomes one message per event. Each is acknowledged separately, and
// the request is answered when all are settled; one refusal makes the answer a refusal. If the
// buffer has space for some of them only, the others are offered again when one of these is settled
// (with AckOnEnqueue, every 100 ms), until the Deadline. When the sender repeats the delivery, the
// events that were acknowledged are skipped.
//
// # Duplicates
//
// A repeated delivery that was already acknowledged is answered with a 2xx and produces no event.
// It is recognized by its id, and also by its body unless the signature covers the id. A delivery
// without an id is recognized by its body and the ids of its events, if each event has one. Any
// other delivery, such as Dropbox's notifications, is never deduplicated: an identical body may
// be a new event. This memory is bounded, see Dedupe, and is lost on restart.
//
// Some senders repeat an event in another delivery: batches of CloudEvents overlap, and LINE repeats
// events one by one. Where the provider's Payload is Unique, an event is a duplicate of any with the
// same id. If that one is still being handled, the delivery waits for it. Ids are compared as they
// were received, without decoding: /a%2Fb and /a/b differ.
//
// Event.Attempt counts how often a delivery was passed to the consumer, if it can be recognized: it
// grows when the sender repeats what was refused. The number of deliveries counted is bounded too.
// The sender's own count is used if it is higher, for example after refusals because the buffer was
// full.
//
// # Tenants
//
// Senders with secrets of their own, such as the shops or installations of an app, share one
// Provider with Tenants: it looks up the secrets by a wildcard of the path, a header, or a field of
// the body. Event.Delivery has the Tenant.
//
// # Answers by the program
//
// Some senders act on the answer: Slack on that to a view submission, Twilio on the TwiML for a
// call, Supabase and Stripe Issuing on a decision. For them, set Answer. It is called with each
// verified delivery, concurrently and before the subscription gets it. It returns the answer, whose
// status is 200 by default and whose body has up to 64 KiB, or nil to leave the delivery to the
// subscription:
//
//	hook := &webhook.Receiver{Provider: provider.Slack(secret)}
//	hook.Answer = func(ctx context.Context, c *webhook.Call) (*provider.Answer, error) {
//		if c.Events[0].Type != "view_submission" {
//			return nil, nil
//		}
//		return validate(ctx, c.Events[0].Data)
//	}
//
// A receiver that answers every delivery needs no subscription: call Listen with a nil Deliver.
//
// The context ends at the provider's Deadline, which should be that of the answer: Stripe waits 2 s
// for an authorization, and longer for other events. It also ends 200 ms after Close was called.
// Answer must then return. At the Deadline, the sender gets Answers.Late whatever Answer does; an
// answer that is returned later is kept for the next attempt. After
// an error it is Answers.Busy, after a panic 500, and both are forgotten. Drain waits for calls
// that run. At most 1,024 run at once.
//
// A delivery that is repeated gets the same answer again, or waits for it: a payment is not decided
// twice. For that, the last 1,024 answers of each provider, 4 MiB in all, are remembered as long as
// acknowledged deliveries are. A delivery without an identity is asked about each time.
//
// # Jobs longer than the deadline
//
// With AckAfterHandling a job must end within the provider's Deadline. A later job still runs, but
// the sender has had its answer: GitHub shows a failure and never repeats it; Stripe repeats the
// delivery for three days and gets a 2xx once the job is acknowledged. AckOnEnqueue answers in
// time, but a crash loses what is in the buffer. If jobs take long, keep AckAfterHandling, let the
// consumer only store the event in a table or queue, and run the job from there. Key the row by
// Event.ID: after a crash between the write and the answer, the sender repeats the event.
//
// # Security
//
// A body is parsed only after its signature has matched, except for what the verification itself or
// a handshake requires (see package provider). The bytes that were verified are the bytes that are
// delivered. The size of the body is limited before anything is computed, and so is the time it
// may take. A body with a content coding is refused with 415, unless the provider's Gzip allows it.
// A request that is not verified leaves no state. A byte order mark before JSON is skipped to find ids and
// types; it remains in the Data of a body that is one event.
//
// The Header of a [transport.Delivery] is a copy of the request's header without credentials,
// cookies and the fields that belong to the connection. Nothing from the query becomes part of an
// event, except that it is the payload of a GET or DELETE without a body, where Methods allow that.
//
// # Panics
//
// A panic in a function of the provider, or in TokenOf, SequenceOf or Skip of the subscription,
// which run on the goroutine of the request, is answered with 500 and reported to OnRejected. The
// events of the request are not acknowledged, so the sender repeats them. A panic in OnRejected
// reaches the server.
//
// # Several processes
//
// If a load balancer spreads deliveries over several processes, none of them knows what the others
// have acknowledged, and two may deliver the same repeated delivery. If work must not be done
// twice, key it by Event.ID in a shared store. All processes need the same secrets. The balancer
// must forward path, query, body and headers unchanged and wait longer than the Deadline, and
// should take a process out of rotation when it answers 503.
//
// The package comment lists what proxies limit and change. To test with replicas, use sender.Balancer
// of package mock/sender.
//
// # Limits
//
// The built-in server limits header time and size, idle time and connections. In a mux, those are
// the limits of the mux's server: set its ReadHeaderTimeout. A slow body is cut off at the
// Deadline through the ResponseWriter. If a handler wraps that in one without Unwrap, as
// http.TimeoutHandler does, set the server's ReadTimeout as well. A mux pattern with a method,
// such as "POST /hooks", excludes handshakes that use GET or OPTIONS.
type Receiver struct {
	// Provider is the only sender, on any path. Required unless Providers is set.
	Provider *provider.Provider

	// Providers are the senders by request path, such as "/hooks/github". The path must match
	// exactly: unescaped, and without a prefix that http.StripPrefix removes. A segment can be a
	// wildcard, as in "/hooks/{tenant}/github", for the provider's Tenants and Token; a path
	// without wildcards takes precedence. Any other path is answered with 404. Required unless
	// Provider is set.
	Providers map[string]*provider.Provider

	// URL is the URL that the senders use, without query: scheme, host and path; with Providers,
	// only the part before their paths. It may have the wildcards of a mux pattern, as in
	// "https://example.com/hooks/{tenant}". It is required for senders that sign the URL. Default:
	// none; requests are verified with their path and query alone.
	URL string

	// Proxies are the networks of the reverse proxies and load balancers in front. Only they can
	// name a sender's address, which Provider.Networks needs: it is the last entry of ProxyHeader
	// that is not an address of Proxies. They have no other effect. A connection over a Unix socket
	// is one of a proxy. Default: none; the address is that of the connection.
	Proxies []netip.Prefix

	// ProxyHeader is the header in which the Proxies append the address from which a request
	// came. Each of them must do so. Default: X-Forwarded-For. Forwarded (RFC 7239) and headers
	// with one address, such as X-Real-Ip, work as well.
	ProxyHeader string

	// Ack is what a 2xx means. Default: AckAfterHandling.
	Ack AckMode

	// Answer decides the answer to a verified delivery. See Answers by the program. Default: none.
	Answer func(ctx context.Context, c *Call) (*provider.Answer, error)

	// MaxBody is the maximum size of a request body in bytes, as sent. A larger one is answered
	// with 413. GitHub, for example, sends up to 25 MiB.
	//
	// All bodies that are incomplete or not yet verified share 64 MiB of memory, or 4 times
	// MaxBody if that is more; bodies under 4 KiB over HTTP/1.1 do not count. When three quarters
	// are in use, the bodies that have been read for longest are evicted and answered with
	// Answers.Busy, so a slow sender cannot starve the others. Default: 1 MiB.
	MaxBody int

	// Dedupe is the maximum number of acknowledged deliveries, and events of Unique batches,
	// remembered for each provider, and DedupeFor is how long they are remembered; the oldest are forgotten first. Negative: none;
	// each repeated delivery then produces its events again, even while the first is being
	// handled. Default: 65,536 and 72 h.
	Dedupe    int
	DedupeFor time.Duration

	// OnRejected is called for every request that is not answered with a 2xx, including those for
	// unknown paths. It is called from ServeHTTP, concurrently; the answer is held back until it
	// returns. An attacker can trigger it at will. Default: none.
	OnRejected func(*RejectedError)

	// Addr is the "host:port" on which Listen listens until Close. Close answers new requests with
	// Answers.Busy and waits for the current ones, for less than a second. If the address is in
	// use, forbidden or unknown, the error is final, unless this Receiver has listened on it
	// before. Default: none; the user's server calls ServeHTTP.
	Addr string

	// Listener is used instead of Addr, by one call of Listen: Close closes it. A second one, as
	// after Subscription.Reconnect, fails permanently. Default: none.
	Listener net.Listener

	// TLS is the configuration of the built-in server. It must provide a certificate; set
	// ClientAuth for mutual TLS. Failed TLS handshakes are not reported, not even to OnRejected.
	// Default: no TLS.
	TLS *tls.Config

	state  state
	slab   slab
	budget budget
}

// An AckMode determines when a delivery is answered with a 2xx.
type AckMode uint8

const (
	// AckAfterHandling answers when the events are acknowledged. After a crash before that, the sender
	// repeats them.
	AckAfterHandling AckMode = iota

	// AckOnEnqueue answers when the events are in the consumer's buffer. That is sooner, but events
	// that were answered and not yet handled are lost in a crash, and when the subscription is
	// closed without Drain. The sender does not see a refusal; the consumer's redelivery takes
	// its place.
	AckOnEnqueue
)

// Drain ends the feed cleanly and permanently: this Receiver accepts no further delivery, whether a
// Listener is open or is opened later. New requests are answered with Answers.Busy, by the built-in
// server until Close.
//
// Wait of the Listener returns ErrComplete once the accepted deliveries are settled (with
// AckOnEnqueue, once they are in the buffer), and so does that of every later Listener. The loop of
// a subscription handles the remaining events and ends without an error. Drain does not wait and
// may be called from any goroutine. If the consumer does not settle an event, only Close ends the
// wait. To receive again, use another Receiver.
func (w *Receiver) Drain() { w.state.drain() }

// Validate reports every option that cannot work, joined into one error.
// Listen fails with the same error.
func (w *Receiver) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("Receiver."+field+": "+format, args...))
	}
	w.validateProviders(bad)
	if err := checkPublicURL(w.URL); err != nil {
		bad("URL", "%w", err)
	} else if name := w.signsURL(); w.URL == "" && name != "" {
		bad("URL", "is required: %s signs it", name)
	} else if w.Provider == nil && strings.Contains(w.URL, "{") {
		bad("URL", "has wildcards: those of Providers follow it")
	}
	if w.Ack > AckOnEnqueue {
		bad("Ack", "unknown value %d", w.Ack)
	}
	if w.MaxBody < 0 {
		bad("MaxBody", "%d is negative", w.MaxBody)
	}
	if w.Dedupe < 0 && w.DedupeFor > 0 {
		bad("DedupeFor", "has no effect with a negative Dedupe: remove one of them")
	}
	w.validateProxies(bad)
	w.validateListener(bad)
	return errors.Join(errs...)
}

func (w *Receiver) validateProviders(bad func(field, format string, args ...any)) {
	if w.Provider == nil && len(w.Providers) == 0 {
		bad("Provider", "is required unless Providers is set")
	}
	if w.Provider != nil {
		if len(w.Providers) > 0 {
			bad("Providers", "cannot be set together with Provider")
		}
		for _, err := range problems(w.Provider) {
			bad("Provider", "%w", err)
		}
	}
	patterns := patternsOf(slices.Sorted(maps.Keys(w.Providers)))
	for i, p := range patterns {
		if problem := p.problem(); problem != "" {
			bad(fmt.Sprintf("Providers[%q]", p.path), "%s", problem)
		}
		for _, q := range patterns[:i] {
			if p.overlaps(q) {
				bad(fmt.Sprintf("Providers[%q]", p.path), "matches paths that %q matches too", q.path)
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(w.Providers)) {
		p := w.Providers[path]
		field := fmt.Sprintf("Providers[%q]", path)
		if path == "" || path[0] != '/' {
			bad(field, "must start with a slash")
		} else if strings.ContainsAny(path, "?#") {
			bad(field, "must be a path without query and fragment")
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

// problems returns what is wrong with a provider. A 2xx for a delivery that is not accepted
// would lose it.
func problems(p *provider.Provider) []error {
	errs := joined.List(p.Validate())
	if p.Answers.Late.Status/100 == 2 || p.Answers.Busy.Status/100 == 2 {
		errs = append(errs, errors.New("Answers.Late and Answers.Busy must not have a 2xx status"))
	}
	return errs
}

func (w *Receiver) validateListener(bad func(field, format string, args ...any)) {
	if w.Addr != "" {
		if _, _, err := net.SplitHostPort(w.Addr); err != nil {
			bad("Addr", "must be host:port")
		}
		if w.Listener != nil {
			bad("Listener", "cannot be set together with Addr")
		}
	}
	switch {
	case w.TLS == nil:
	case w.Addr == "" && w.Listener == nil:
		bad("TLS", "requires Addr or Listener: in a mux, configure the TLS of its server")
	case len(w.TLS.Certificates) == 0 && w.TLS.GetCertificate == nil && w.TLS.GetConfigForClient == nil:
		bad("TLS", "requires a certificate")
	}
}

// signsURL returns the name of a provider whose signatures cover the URL, "" if none do.
func (w *Receiver) signsURL() string {
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

// checkPublicURL hides the error of url.Parse, which contains the URL.
func checkPublicURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errors.New("must be http(s)://host/path, without user, query and fragment")
	}
	return nil
}

// provider returns the provider of a request and its path in Providers, or nil.
func (w *Receiver) provider(r *http.Request) (p *provider.Provider, path string) {
	if w.Provider != nil {
		return w.Provider, ""
	}
	if p := w.Providers[r.URL.Path]; p != nil && !strings.Contains(r.URL.Path, "{") {
		return p, r.URL.Path
	}
	for _, pattern := range w.state.patternsOf(w) {
		if pattern.match(r) {
			return w.Providers[pattern.path], pattern.path
		}
	}
	return nil, ""
}

func deadlineOf(p *provider.Provider) time.Duration {
	return cmp.Or(max(p.Deadline, 0), defaultDeadline)
}

var (
	_ http.Handler       = (*Receiver)(nil)
	_ transport.Receiver = (*Receiver)(nil)
)

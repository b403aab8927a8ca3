package webhook

import (
	"container/list"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/internal/coding"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// An exchange handles one request, from its header to its answer.
type exchange struct {
	hook     *Receiver
	rw       http.ResponseWriter
	r        *http.Request
	from     *provider.Provider
	path     string           // of from in Receiver.Providers
	req      provider.Request // the provider's view of r
	buf      []byte           // contains the body
	held     share            // of the budget, until the body is verified
	answered bool

	deadlines *deadlines    // nil until start
	place     *list.Element // in deadlines

	mu      sync.Mutex    // held for a few instructions
	reading bool          // the body is being read
	expired bool          // the deadline has passed
	woken   chan struct{} // receives when to look again; nil until the exchange waits

	// dismissed is set when the budget evicts x while it reads. When x no longer reads, its
	// goroutine may access dismissed without the lock.
	dismissed bool
}

// ServeHTTP answers a sender. A request with a method that is none of the provider's Methods is a
// handshake or is answered with 405. ServeHTTP returns when the request is answered, at the latest at the
// provider's Deadline.
func (w *Receiver) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	p, path := w.provider(r)
	if p == nil {
		w.notFound(rw, r)
		return
	}
	x := &exchange{hook: w, rw: rw, r: r, from: p, path: path}
	defer x.end()
	x.serve()
}

// serve handles the request. The cheap checks come first.
func (x *exchange) serve() {
	l := x.hook.state.listener.Load()
	if err := l.refusal(); err != nil {
		x.refuseUnread(&x.from.Answers.Busy, http.StatusServiceUnavailable, err)
		return
	}
	route := l.routes[x.path]
	now := time.Now()
	x.req = provider.Request{
		Method: x.r.Method, URL: route.publicURL(x.r), Header: x.r.Header,
		Time: now, Context: x.r.Context(), Deadline: now.Add(deadlineOf(x.from)),
		Peer: x.hook.peer(x.r), HTTP: x.r, MaxBody: x.hook.maxBody(),
	}
	if err := x.from.Admit(&x.req); err != nil {
		x.refuseUnread(x.judge(err))
		return
	}
	if !x.from.Accepts(x.r.Method) {
		x.serveOther()
		return
	}
	if x.hook.Answer == nil {
		if err := l.full(); err != nil {
			x.refuseFull(err)
			return
		}
	}
	if err := x.precheck(); err != nil {
		x.refuseUnread(x.judge(err))
		return
	}
	if x.answerHandshake() {
		return
	}
	x.start(&route.deadlines)
	if err := x.read(); err != nil {
		x.refuseBody(err)
		return
	}
	d, err := x.receive()
	if err != nil {
		x.drop()
		x.refuse(x.judge(err))
		return
	}
	x.release()
	x.deliver(l, route, d)
}

// precheck refuses a request by its header alone. A content coding is refused, because the body
// would have to be decompressed before it is verified.
func (x *exchange) precheck() error {
	if !x.from.Decodes(x.r.Header) {
		accepted := "identity"
		if x.from.Gzip != provider.GzipRefuse {
			accepted = "gzip"
		}
		x.rw.Header().Set("Accept-Encoding", accepted)
		return errCoding
	}
	return x.from.Precheck(&x.req)
}

// receive verifies the request. The body that an unverified one may be decompressed to is a part of
// the budget.
func (x *exchange) receive() (*provider.Delivery, error) {
	if x.from.Gzip == provider.GzipPlain && len(coding.List(x.r.Header)) > 0 {
		if err := x.hold(cap(x.buf) + x.hook.maxBody()); err != nil {
			return nil, err
		}
	}
	return x.from.Receive(&x.req)
}

// refuseFull refuses a delivery when the buffer is full, unless it is a handshake that needs no body: a
// sender whose handshake fails may never send again.
func (x *exchange) refuseFull(busy error) {
	if !x.answerHandshake() {
		x.refuseUnread(&x.from.Answers.Busy, http.StatusServiceUnavailable, busy)
	}
}

// answerHandshake answers a handshake that needs no body. It reports whether the request was one.
func (x *exchange) answerHandshake() bool {
	if x.from.Handshake == nil {
		return false
	}
	a, ok := x.from.Handshake(&x.req)
	if !ok || a == nil {
		return false
	}
	x.refuseUnread(a, http.StatusNoContent, errAnswer)
	return true
}

// serveOther answers a request whose method is not that of a delivery.
func (x *exchange) serveOther() {
	if x.answerHandshake() {
		return
	}
	allow := http.MethodPost
	if len(x.from.Methods) > 0 {
		allow = strings.Join(x.from.Methods, ", ")
	}
	x.rw.Header().Set("Allow", allow)
	x.refuseUnread(&provider.Answer{}, http.StatusMethodNotAllowed, errMethod)
}

// deliver hands the events of a verified request to the subscription and answers it.
func (x *exchange) deliver(l *listener, route *route, r *provider.Delivery) {
	if len(r.Events) == 0 {
		x.buf, x.req.Body = nil, nil // it may be unverified, and the sender may be slow to read the answer
		x.accept(r)
		return
	}
	meta := x.metadata(route.private, r)
	if x.hook.Answer != nil && x.consult(l, route, r, meta) {
		return
	}
	repeated, err := x.settle(l, route, r, meta)
	if repeated && r.Answer == nil { // an Answer may share the body's memory
		x.hook.slab.giveBack(x.buf)
	}
	switch {
	case err == nil && repeated:
		x.acceptAgain(r)
	case err == nil:
		x.accept(r)
	case err == errLate || err == errGone:
		x.refuse(&x.from.Answers.Late, http.StatusServiceUnavailable, err)
	default:
		x.refuse(&x.from.Answers.Busy, http.StatusServiceUnavailable, err)
	}
}

// settle returns nil once every event of a delivery is acknowledged, and whether the delivery
// repeats one that was acknowledged or is being handled.
func (x *exchange) settle(l *listener, route *route, r *provider.Delivery, meta *transport.Delivery) (repeated bool, err error) {
	d := newDelivery(l, route.ledger, r, x)
	c := route.ledger.claim(d, x.req.Time)
	for c.first != nil {
		c.first.join(x)
		err := x.await(c.first)
		if c.first.key == d.key || err == errLate || err == errGone {
			return true, err
		}
		c = route.ledger.claim(d, x.req.Time) // the events that both have are settled
	}
	if c.acknowledged {
		return true, nil
	}
	if err := l.add(d); err != nil {
		d.refuse(err)
		return false, err
	}
	d.fill(r, meta, max(r.Attempt, c.attempt), c.known)
	d.hand()
	return false, x.await(d)
}

// pollInterval is how often the rest of a batch is offered if no event of it is acknowledged
// (AckOnEnqueue).
const pollInterval = 100 * time.Millisecond

// await returns nil once d is acknowledged. While d has events that were not accepted, it offers
// them again.
func (x *exchange) await(d *delivery) error {
	for {
		d.offer()
		if over, err := d.outcome(x); over {
			return err
		}
		if err := x.wait(d); err != nil {
			return d.withdraw(x, err)
		}
	}
}

// wait returns nil when the outcome of d may be known or there may be space for its rest, and an error
// if the request cannot wait any longer.
func (x *exchange) wait(d *delivery) error {
	var poll <-chan time.Time
	if d.polls() {
		timer := time.NewTimer(pollInterval)
		defer timer.Stop()
		poll = timer.C
	}
	select {
	case <-x.woken:
		if x.isLate() {
			return errLate
		}
	case <-poll:
		d.poll()
	case <-x.r.Context().Done():
		return errGone
	}
	return nil
}

// start makes the deadline count.
func (x *exchange) start(d *deadlines) {
	x.deadlines = d
	d.add(x)
}

// expire ends the reading of the body and the wait for the consumer.
func (x *exchange) expire() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.expired = true
	x.wakeLocked()
	if x.reading {
		http.NewResponseController(x.rw).SetReadDeadline(time.Now())
	}
}

// prepareWait makes wake and the deadline end the next wait. missed reports whether x may have been
// woken before the first call.
func (x *exchange) prepareWait(missed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.woken != nil {
		return
	}
	x.woken = make(chan struct{}, 1)
	if x.expired || missed {
		x.wakeLocked()
	}
}

// wake makes x look again at the delivery for which it waits.
func (x *exchange) wake() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.wakeLocked()
}

// wakeLocked is wake for a caller that holds x.mu.
func (x *exchange) wakeLocked() {
	select {
	case x.woken <- struct{}{}:
	default: // x has not prepared to wait, or is already woken
	}
}

func (x *exchange) isLate() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.expired
}

func (x *exchange) startReading() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reading = true
}

// stopReading reports whether the deadline has passed.
func (x *exchange) stopReading() (expired bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reading = false
	return x.expired
}

// dismiss ends the reading of a body. It reports false if it cannot, because all of the body has
// arrived or the ResponseWriter has no read deadline.
func (x *exchange) dismiss() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.reading {
		x.dismissed = http.NewResponseController(x.rw).SetReadDeadline(time.Now()) == nil
	}
	return x.dismissed
}

// end releases what the exchange holds and answers a panic.
func (x *exchange) end() {
	v := recover()
	if x.deadlines != nil {
		x.deadlines.remove(x)
	}
	x.release()
	if v == nil {
		return
	}
	if x.answered || v == http.ErrAbortHandler {
		panic(v) // for the server to handle
	}
	x.refuseUnread(&provider.Answer{}, http.StatusInternalServerError, panicked(v))
}

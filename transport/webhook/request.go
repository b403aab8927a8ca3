package webhook

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/transport/internal/coding"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// An exchange handles one request, from its header to its answer. It is then reused for another.
type exchange struct {
	hook   *Receiver
	rw     http.ResponseWriter
	r      *http.Request
	from   *provider.Provider
	req    provider.Request // the provider's view of r
	buf    []byte           // contains the body
	fields fields           // storage for the headers of messages
	claim  claim            // to memory, until the body is verified

	// Guarded by Receiver.mu.
	waits *delivery // the delivery that will notify this exchange
	next  *exchange // the next one that waits for the same delivery
	err   error     // why the delivery was not acknowledged, once it has notified

	woken    chan verdict // has room for one
	answered bool

	mu       sync.Mutex // held for a few instructions
	phase    phase
	deadline time.Time // zero: not started
	expired  bool      // the deadline has passed

	// dismissed is set when the budget evicts x while it reads. When x no longer reads, its
	// goroutine may access dismissed without the lock.
	dismissed bool

	timer *time.Timer
	rings time.Time // when timer calls ring; zero: it is not running
}

// A verdict is the reason for a wake-up.
type verdict struct {
	told bool // err is the outcome of the delivery; otherwise the exchange must check
	err  error
}

// A phase is what the deadline interrupts.
type phase uint8

const (
	working phase = iota
	reading
	waiting
)

// ServeHTTP answers a sender. A request with a method other than POST is a handshake or is
// answered with 405. ServeHTTP returns when the request is answered, at the latest at the
// provider's Deadline.
func (w *Receiver) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	p := w.provider(r.URL.Path)
	if p == nil {
		w.notFound(rw, r)
		return
	}
	x, _ := w.free.Get().(*exchange)
	if x == nil {
		x = &exchange{hook: w, woken: make(chan verdict, 1)}
	}
	x.rw, x.r, x.from = rw, r, p
	defer x.end()
	x.serve()
}

// serve handles the request. The cheap checks come first.
func (x *exchange) serve() {
	conn := x.hook.conn.Load()
	busy := conn.refuses()
	if busy != nil && busy != errFull {
		x.refuseUnread(&x.from.Answers.Busy, http.StatusServiceUnavailable, busy)
		return
	}
	route := conn.route(x.r)
	now := time.Now()
	x.req = provider.Request{
		Method: x.r.Method, URL: route.publicURL(x.r), Header: x.r.Header,
		Time: now, Context: x.r.Context(), Deadline: now.Add(deadlineOf(x.from)),
	}
	if x.r.Method != http.MethodPost {
		x.greet()
		return
	}
	if busy != nil {
		x.turnAway(busy)
		return
	}
	if err := x.precheck(); err != nil {
		x.refuseUnread(x.judge(err))
		return
	}
	if x.greeted() {
		return
	}
	x.start(x.req.Deadline)
	if err := x.read(); err != nil {
		x.refuseBody(err)
		return
	}
	d, err := x.from.Receive(&x.req)
	if err != nil {
		x.drop()
		x.refuse(x.judge(err))
		return
	}
	x.release()
	x.deliver(conn, route, d)
}

// precheck refuses a request by its header alone. A content coding is refused, because the body
// would have to be decompressed before it is verified.
func (x *exchange) precheck() error {
	if len(coding.List(x.r.Header)) > 0 {
		x.rw.Header().Set("Accept-Encoding", "identity")
		return errCoding
	}
	return x.from.Precheck(&x.req)
}

// turnAway refuses a POST when the buffer is full, unless it is a handshake that needs no body: a
// sender whose handshake fails may never send again.
func (x *exchange) turnAway(busy error) {
	if !x.greeted() {
		x.refuseUnread(&x.from.Answers.Busy, http.StatusServiceUnavailable, busy)
	}
}

// greeted answers a handshake that needs no body. It reports whether the request was one.
func (x *exchange) greeted() bool {
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

// greet answers a request that is not a POST.
func (x *exchange) greet() {
	if x.greeted() {
		return
	}
	x.rw.Header().Set("Allow", http.MethodPost)
	x.refuseUnread(&provider.Answer{}, http.StatusMethodNotAllowed, errMethod)
}

// deliver passes the events of a verified request to the consumer and answers it.
func (x *exchange) deliver(conn *conn, route *route, r *provider.Delivery) {
	if len(r.Events) == 0 {
		x.buf, x.req.Body = nil, nil // it may be unverified, and the sender may be slow to read the answer
		x.accept(r)
		return
	}
	key := route.ledger.key(r, x.req.Body)
	known, err := x.hand(conn, delivery{
		ledger: route.ledger, key: key, items: route.ledger.items(key, r.Events),
		id: r.ID, events: r.Events, pending: len(r.Events), size: len(x.req.Body),
		header: x.metadata(route.private, r), attempt: r.Attempt,
	})
	if (known != unknown || err != nil) && r.Answer == nil { // an Answer may share the body's memory
		x.hook.giveBack(x.buf)
	}
	if err == nil && known != settled {
		err = x.wait()
	}
	switch {
	case err == nil && known == unknown:
		x.accept(r)
	case err == nil:
		x.acceptAgain(r)
	case errors.Is(err, errLate) || errors.Is(err, errGone):
		x.refuse(&x.from.Answers.Late, http.StatusServiceUnavailable, err)
	default:
		x.refuse(&x.from.Answers.Busy, http.StatusServiceUnavailable, err)
	}
}

// known is what the ledger knows about an incoming delivery.
type known uint8

const (
	unknown known = iota
	inHand
	settled
)

// hand enqueues an unknown delivery, and makes x wait for the first one if
// the same delivery is being handled. The caller must then wait, unless the delivery is settled or
// hand returns an error.
func (x *exchange) hand(conn *conn, made delivery) (known, error) {
	x.hook.mu.Lock()
	defer x.hook.mu.Unlock()
	x.err = nil
	d := conn.place(&made)
	if d.ledger.has(d.key, x.req.Time) || !d.passOver(x.req.Time) {
		return settled, nil
	}
	if first := d.ledger.claim(d); first != nil {
		first.await(x)
		return inHand, nil
	}
	d.attempt = max(d.attempt, d.ledger.tried.of(d.key)+1)
	if err := conn.enqueue(d); err != nil {
		d.ledger.free(d)
		return unknown, err
	}
	conn.admit(d)
	d.await(x)
	return unknown, nil
}

// glance is how long a request waits before it also watches for a disconnect. Most requests are
// done sooner, and watching costs more than waiting.
const glance = 100 * time.Millisecond

// wait returns nil once the delivery is acknowledged. It first blocks on one channel only, so that
// the scheduler runs the consumer next, before the goroutine with which net/http watches the
// connection.
func (x *exchange) wait() error {
	woken := false
	select {
	case v := <-x.woken:
		if v.told {
			return v.err
		}
		woken = true
	default:
	}
	if expired := x.enter(waiting); !expired && !woken {
		if v := <-x.woken; v.told {
			return v.err
		}
	}
	for {
		if over, err := x.look(); over {
			return err
		}
		select {
		case v := <-x.woken:
			if v.told {
				return v.err
			}
		case <-x.r.Context().Done():
		}
	}
}

// look reports whether the wait is over, and its result. It also finds a verdict that wake dropped
// because woken was full.
func (x *exchange) look() (over bool, err error) {
	err = x.over()
	x.hook.mu.Lock()
	defer x.hook.mu.Unlock()
	switch {
	case x.waits == nil:
		return true, x.err
	case err != nil:
		x.waits.desert(x)
		return true, err
	}
	return false, nil
}

// over returns the reason to stop waiting, or nil.
func (x *exchange) over() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.expired:
		return errLate
	case x.r.Context().Err() != nil:
		return errGone
	}
	return nil
}

// tell ends the wait. The caller holds Receiver.mu.
func (x *exchange) tell(err error) {
	x.err = err
	x.wake(verdict{told: true, err: err})
}

func (x *exchange) wake(v verdict) {
	select {
	case x.woken <- v:
	default:
	}
}

// start sets the deadline.
func (x *exchange) start(deadline time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.deadline = deadline
	x.arm(deadline)
}

// arm makes the timer call ring at the given time or earlier. A timer that fires earlier keeps
// running, even past the end of a request, so that few requests have to set it. The caller holds
// x.mu.
func (x *exchange) arm(at time.Time) {
	switch {
	case x.timer == nil:
		x.timer = time.AfterFunc(max(time.Until(at), time.Nanosecond), x.ring)
	case x.rings.IsZero() || at.Before(x.rings):
		x.timer.Reset(max(time.Until(at), time.Nanosecond))
	default:
		return
	}
	x.rings = at
}

// ring is called by the timer, which a previous request may have set.
func (x *exchange) ring() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rings = time.Time{}
	if x.deadline.IsZero() {
		return
	}
	if x.expired = !time.Now().Before(x.deadline); !x.expired {
		x.arm(x.deadline)
	}
	switch {
	case x.phase == waiting:
		x.wake(verdict{})
	case x.expired && x.phase == reading:
		http.NewResponseController(x.rw).SetReadDeadline(time.Now())
	}
}

// enter starts a phase and reports whether the deadline has passed.
func (x *exchange) enter(p phase) (expired bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.phase = p
	if p == waiting {
		x.arm(time.Now().Add(glance))
	}
	return x.expired
}

// end recovers a panic and makes x available for reuse.
func (x *exchange) end() {
	v := recover()
	x.release()
	if v != nil && (x.answered || v == http.ErrAbortHandler) {
		panic(v) // for the server to handle
	}
	if v != nil {
		x.refuseUnread(&provider.Answer{}, http.StatusInternalServerError, panicked(v))
	}
	x.mu.Lock()
	x.rw, x.r, x.from, x.req, x.buf = nil, nil, nil, provider.Request{}, nil
	x.answered, x.phase, x.deadline, x.expired, x.dismissed = false, working, time.Time{}, false, false
	x.mu.Unlock()
	if v != nil {
		return // do not reuse x: a delivery may still notify it
	}
	select {
	case <-x.woken:
	default:
	}
	x.hook.free.Put(x)
}

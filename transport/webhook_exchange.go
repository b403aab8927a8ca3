package transport

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/transport/provider"
)

// An exchange is one request, from its header to its answer. It is used again for another
// one afterwards.
type exchange struct {
	hook   *Webhook
	rw     http.ResponseWriter
	r      *http.Request
	from   *provider.Provider
	req    provider.Request // the provider's view of r
	buf    []byte           // that the body is in
	fields fields           // that the headers of messages are in
	claim  claim            // to memory, until the body is verified

	offered *delivery // hand has taken its event
	message Message   // which is this

	// Guarded by Webhook.mu.
	waits *delivery // which will tell
	next  *exchange // that waits for the same
	err   error     // why it was not acknowledged, once waits has told

	woken    chan verdict // room for one: waits has told, or the deadline is over
	answered bool

	mu       sync.Mutex // held for a few instructions
	phase    phase
	deadline time.Time // of the provider; zero: none yet
	expired  bool      // it is over

	// dismissed is set when x is to give way to others, while it reads. Once it does not,
	// its own goroutine may look at it without the lock.
	dismissed bool

	timer *time.Timer
	rings time.Time // when timer calls ring; zero: it does not run
}

// verdict is what waking is for.
type verdict struct {
	told bool // err says what became of the delivery; else it is time to look
	err  error
}

// phase is what the deadline interrupts.
type phase uint8

const (
	working phase = iota
	reading
	waiting
)

// ServeHTTP answers a sender. A request with another method than POST is a handshake, or
// 405. It returns once the request is answered, at the provider's Deadline at the latest.
func (w *Webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
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

// serve takes the request as far as it goes. What is cheap to refuse comes first.
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

// precheck refuses by the header alone. A content coding is not undone: what it hides
// would have to be unpacked before anyone knows whether it is worth it.
func (x *exchange) precheck() error {
	if len(contentCodings(x.r.Header)) > 0 {
		x.rw.Header().Set("Accept-Encoding", "identity")
		return errCoding
	}
	return x.from.Precheck(&x.req)
}

// turnAway refuses a POST that there is no room for, unless it needs none: a sender whose
// question is not answered may never send again.
func (x *exchange) turnAway(busy error) {
	if !x.greeted() {
		x.refuseUnread(&x.from.Answers.Busy, http.StatusServiceUnavailable, busy)
	}
}

// greeted reports whether the request was a question of the sender's, which it answers.
func (x *exchange) greeted() bool {
	a, ok := x.from.Greet(&x.req)
	if !ok || a == nil {
		return false
	}
	x.refuseUnread(a, http.StatusNoContent, errAnswer)
	return true
}

// greet answers what is no delivery.
func (x *exchange) greet() {
	if x.greeted() {
		return
	}
	x.rw.Header().Set("Allow", http.MethodPost)
	x.refuseUnread(&provider.Answer{}, http.StatusMethodNotAllowed, errMethod)
}

// deliver brings what was verified to the consumer and answers when that is done.
func (x *exchange) deliver(conn *webhookConn, route *route, r *provider.Delivery) {
	if len(r.Events) == 0 {
		x.buf, x.req.Body = nil, nil // it may be anybody's, and he may be slow to read the answer
		x.accept(r)
		return
	}
	key := route.ledger.key(r, x.req.Body)
	known, err := x.hand(conn, delivery{
		ledger: route.ledger, key: key, items: route.ledger.items(key, r.Events),
		id: r.ID, events: r.Events, pending: len(r.Events), size: len(x.req.Body),
		header: x.metadata(route.private, r), attempt: r.Attempt,
	})
	if (known != unknown || err != nil) && r.Answer == nil { // which may have parts of the body
		x.hook.giveBack(x.buf)
	}
	if err == nil && known != settled {
		x.offer(conn)
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

// known is what is known of a delivery that comes in.
type known uint8

const (
	unknown known = iota
	inHand
	settled
)

// hand enqueues a delivery that is unknown, and joins those who wait for one that is in
// hand. Unless it is settled, or an error returned, wait follows.
func (x *exchange) hand(conn *webhookConn, made delivery) (known, error) {
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
	if conn.offers(d) {
		x.offered, x.message = d, d.take()
	} else if err := conn.enqueue(d); err != nil {
		d.ledger.free(d)
		return unknown, err
	}
	conn.admit(d)
	d.await(x)
	return unknown, nil
}

// offer brings the delivery to the consumer on this goroutine, if it is one that can be
// brought like that. It saves two of the changes of goroutines that a webhook consists of.
func (x *exchange) offer(conn *webhookConn) {
	if d := x.offered; d != nil {
		conn.settleOffer(d, &x.message, conn.taker(&x.message))
		x.offered, x.message = nil, Message{}
	}
}

// glance is how long a request waits without a look at whether its sender is still there. It
// is seldom as long, and to look costs more than to wait.
const glance = 100 * time.Millisecond

// wait returns nil once what x waits for is acknowledged. It parks at once, and on as
// little as it can: the goroutines that it waits for are then the next to run, before the
// one that net/http has started to watch the connection.
func (x *exchange) wait() error {
	woken := false
	select {
	case v := <-x.woken: // mostly told by what x has offered
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

// look reports whether the waiting is over, and how it ends. It finds what x was told when
// that did not get through, because it was just being woken for something else.
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

// over returns why there is no use in waiting any longer.
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

// tell ends the waiting. Its caller holds Webhook.mu.
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

// arm makes the timer ring at a time, or before. One that runs is not stopped for that, nor
// at the end of a request: so there is one to set in many requests. Its caller holds x.mu.
func (x *exchange) arm(at time.Time) {
	switch {
	case x.timer == nil:
		x.timer = time.AfterFunc(max(time.Until(at), atOnce), x.ring)
	case x.rings.IsZero() || at.Before(x.rings):
		x.timer.Reset(max(time.Until(at), atOnce))
	default:
		return
	}
	x.rings = at
}

// ring is called by the timer, perhaps for the sake of a request that is over.
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

// enter changes what the deadline interrupts, and reports whether it is over.
func (x *exchange) enter(p phase) (expired bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.phase = p
	if p == waiting {
		x.arm(time.Now().Add(glance))
	}
	return x.expired
}

// end contains a panic and lets x be used again.
func (x *exchange) end() {
	v := recover()
	x.release()
	if v != nil && (x.answered || v == http.ErrAbortHandler) {
		panic(v) // the server's, or the user's own
	}
	if v != nil {
		x.refuseUnread(&provider.Answer{}, http.StatusInternalServerError, panicked(v))
	}
	x.mu.Lock()
	x.rw, x.r, x.from, x.req, x.buf = nil, nil, nil, provider.Request{}, nil
	x.answered, x.phase, x.deadline, x.expired, x.dismissed = false, working, time.Time{}, false, false
	x.mu.Unlock()
	if v != nil {
		return // what waits for it may still tell it something
	}
	select {
	case <-x.woken:
	default:
	}
	x.hook.free.Put(x)
}

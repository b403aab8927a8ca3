package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A Call is a verified delivery for which Receiver.Answer decides the answer.
type Call struct {
	ID      string           // of the delivery; may be empty
	Attempt int              // the sender's attempt at this delivery, from 1; 0: unknown
	Events  []provider.Event // at least one; must not be changed

	// Delivery describes the request.
	*transport.Delivery
}

const (
	maxCalls      = 1024     // that run at once, in one Receiver
	maxAnswerBody = 64 << 10 // in bytes
)

// A call is a run of Receiver.Answer. The requests that repeat its delivery wait for the same outcome.
type call struct {
	done   chan struct{}    // closed when the outcome is known
	answer *provider.Answer // nil: the delivery is for the subscription
	err    error
}

// consult asks Receiver.Answer. It reports false if the delivery is for the subscription.
func (x *exchange) consult(l *listener, route *route, r *provider.Delivery, meta *transport.Delivery) (answered bool) {
	key := route.ledger.key(r, x.req.Body)
	c, first := route.ledger.call(key, x.req.Time)
	switch {
	case c == nil: // the subscription has it
		return false
	case first:
		if err := l.addCall(); err != nil {
			route.ledger.endCall(key, c, nil, err)
		} else {
			go l.call(route.ledger, key, c, x.req.Deadline, &Call{ID: r.ID, Attempt: r.Attempt, Events: r.Events, Delivery: meta})
		}
	}
	err := x.awaitCall(l, c)
	switch {
	case err == errUnanswered || err == errGone:
		x.refuse(&x.from.Answers.Late, http.StatusServiceUnavailable, err)
	case errors.Is(err, errPanic) || err == errBadAnswer:
		x.refuse(&provider.Answer{}, http.StatusInternalServerError, err)
	case err != nil:
		x.refuse(&x.from.Answers.Busy, http.StatusServiceUnavailable, err)
	case c.answer == nil:
		return false
	default:
		x.refuse(c.answer, http.StatusOK, errDecided)
	}
	return true
}

// awaitCall waits for the outcome of c.
func (x *exchange) awaitCall(l *listener, c *call) error {
	x.prepareWait(false)
	for {
		select {
		case <-c.done:
			return c.err
		default:
		}
		select {
		case <-c.done:
		case <-l.cut:
			return errDraining
		case <-x.r.Context().Done():
			return errGone
		case <-x.woken:
			if x.isLate() {
				return errUnanswered
			}
		}
	}
}

// call runs Receiver.Answer. The context does not end with the request: one that repeats it may wait.
func (l *listener) call(ledger *ledger, key deliveryKey, c *call, deadline time.Time, arg *Call) {
	defer l.removeCall()
	ctx, cancel := context.WithDeadline(l.ctx, deadline)
	defer cancel()
	var a *provider.Answer
	err := errPanic
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
		ledger.endCall(key, c, a, err)
	}()
	given, failure := l.hook.Answer(ctx, arg)
	switch {
	case failure != nil:
		err = fmt.Errorf("Receiver.Answer: %w", failure)
	case given == nil:
		err = nil
	case !isAnswer(given):
		err = errBadAnswer
	default:
		a, err = &provider.Answer{Status: given.Status, Header: given.Header.Clone(), Body: bytes.Clone(given.Body)}, nil
	}
}

func isAnswer(a *provider.Answer) bool {
	return (a.Status == 0 || a.Status >= 200 && a.Status <= 599) && len(a.Body) <= maxAnswerBody
}

// answers remembers the answers that Receiver.Answer has given, within bounds. The zero value is
// empty.
type answers struct {
	given map[deliveryKey]givenAnswer
	order []deliveryKey // the oldest first
	bytes int           // of the bodies
}

type givenAnswer struct {
	*provider.Answer
	at time.Time
}

const (
	maxAnswers     = 1024    // that one ledger remembers
	maxAnswerBytes = 4 << 20 // of their bodies
)

func (s *answers) add(k deliveryKey, a *provider.Answer, now time.Time) {
	if s.given == nil {
		s.given = make(map[deliveryKey]givenAnswer)
	}
	s.given[k] = givenAnswer{a, now}
	s.order = append(s.order, k)
	s.bytes += len(a.Body)
	for len(s.order) > maxAnswers || s.bytes > maxAnswerBytes {
		s.drop()
	}
}

func (s *answers) drop() {
	k := s.order[0]
	s.order = s.order[1:]
	s.bytes -= len(s.given[k].Body)
	delete(s.given, k)
}

// of returns the answer to a delivery, or nil, and drops those that are older than life.
func (s *answers) of(k deliveryKey, now time.Time, life time.Duration) *provider.Answer {
	for len(s.order) > 0 && now.Sub(s.given[s.order[0]].at) >= life {
		s.drop()
	}
	return s.given[k].Answer
}

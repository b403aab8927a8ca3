package retry

import (
	"net/http"
	"strconv"
	"time"
)

// A Class is a kind of failure. All failures of a class are handled alike.
type Class uint8

const (
	ClassNetwork       Class = iota // no answer, a lost connection, or one that ended cleanly
	ClassServer                     // 408, 409, 421, 425 and 5xx: the server cannot answer at present
	ClassRateLimited                // 420, 429, and any other 4xx with a delay: too many requests
	ClassAuth                       // 401: the server does not accept the credentials
	ClassProtocol                   // a response that is not a feed, or not one of this protocol
	ClassTokenRejected              // the server no longer knows the position to resume from
	ClassPermanent                  // no later attempt can succeed

	// refused means ClassPermanent until a connection has made progress, and ClassProtocol from then
	// on: what has worked is expected to work again.
	refused
)

var classNames = [...]string{
	"network", "server", "rate limited", "auth", "protocol", "token rejected", "permanent",
}

// String returns the class in lower case, such as "rate limited".
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "Class(" + strconv.Itoa(int(c)) + ")"
}

// MarshalText returns the String of a class, so that JSON shows its name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Classify returns the class of err. It depends on the methods of the errors in the tree of err,
// which the package documentation lists, and on the errors of crypto/tls and crypto/x509. An error
// is checked before the ones it wraps, and the first one that has an answer decides, because the
// outer error knows more. Within one error, RejectsToken comes first, then StatusCode, then
// Retryable and Protocol.
//
// The classes list their statuses. Of the others, 204, 410 and the rest of 4xx are ClassPermanent,
// the rest of 1xx, 2xx and 3xx is ClassProtocol, and a number that is not an HTTP status counts as
// 5xx (RFC 9110, section 15). A 4xx whose error has a RetryAfter above zero is ClassRateLimited,
// except 401, 408, 409, 410, 421 and 425: the server itself expects another attempt (RFC 9110,
// section 10.2.3). If the same error also has Retryable, false turns ClassServer and
// ClassRateLimited into ClassPermanent, and true turns ClassPermanent into ClassServer. Without a
// status, Retryable true keeps the wrapped errors from making the failure permanent.
//
// A certificate that fails verification is ClassPermanent, because every attempt fails until one
// side changes. One that has expired or is not yet valid is ClassNetwork: a renewal or a corrected
// clock fixes it.
//
// A TLS alert of the peer about certificates, versions or names is ClassProtocol (RFC 8446, section
// 6.2), and so is a peer that does not speak TLS. The alerts internal_error and user_canceled are
// ClassNetwork.
//
// Everything else is ClassNetwork: io.EOF, io.ErrUnexpectedEOF, timeouts, other errors of net and
// net/http, errors without any of the methods, and nil.
//
// A [Backoff] differs in one point: once a connection has made progress, a 4xx or a certificate
// that is ClassPermanent here, except 410, is ClassProtocol.
func Classify(err error) Class {
	class, _ := classify(err)
	return class.settled(false)
}

// settled returns the class that c stands for: refused depends on worked.
func (c Class) settled(worked bool) Class {
	switch {
	case c != refused:
		return c
	case worked:
		return ClassProtocol
	}
	return ClassPermanent
}

// classify returns ClassNetwork and false if no error in the tree has an answer.
func classify(err error) (Class, bool) {
	if err == nil {
		return ClassNetwork, false
	}
	if c, ok := classifyOne(err); ok {
		return c, true
	}
	c, ok := classifyWrapped(err)
	if r, is := as[interface{ Retryable() bool }](err); is && r.Retryable() {
		if c.settled(false) == ClassPermanent {
			c = ClassNetwork
		}
		return c, true
	}
	return c, ok
}

func classifyWrapped(err error) (Class, bool) {
	switch w := err.(type) {
	case interface{ Unwrap() error }:
		return classify(w.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range w.Unwrap() {
			if c, ok := classify(e); ok {
				return c, true
			}
		}
	}
	return ClassNetwork, false
}

// classifyOne classifies err without the errors that it wraps.
func classifyOne(err error) (Class, bool) {
	retryable, known := as[interface{ Retryable() bool }](err)
	if t, ok := as[interface{ RejectsToken() bool }](err); ok && t.RejectsToken() {
		return ClassTokenRejected, true
	}
	if s, ok := as[interface{ StatusCode() int }](err); ok && s.StatusCode() != 0 {
		a, asks := as[interface{ RetryAfter() time.Duration }](err)
		c := classifyStatus(s.StatusCode(), asks && a.RetryAfter() > 0)
		switch {
		case known && !retryable.Retryable() && (c == ClassServer || c == ClassRateLimited):
			c = ClassPermanent
		case known && retryable.Retryable() && c.settled(false) == ClassPermanent:
			c = ClassServer
		}
		return c, true
	}
	if known && !retryable.Retryable() {
		return ClassPermanent, true
	}
	if p, ok := as[interface{ Protocol() bool }](err); ok && p.Protocol() {
		return ClassProtocol, true
	}
	return classifyTLS(err)
}

// statusEnhanceYourCalm is what the first streaming API of X returned instead of 429.
const statusEnhanceYourCalm = 420

// classifyStatus returns the class of a status. asks reports whether the response names a delay.
func classifyStatus(code int, asks bool) Class {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return ClassServer
	case http.StatusConflict: // RFC 9110, section 15.5.10: such as an old connection not yet closed
		return ClassServer
	case http.StatusMisdirectedRequest: // section 15.5.20: another connection may succeed
		return ClassServer
	case http.StatusTooManyRequests, statusEnhanceYourCalm:
		return ClassRateLimited
	case http.StatusUnauthorized:
		return ClassAuth
	case http.StatusNoContent, http.StatusGone:
		return ClassPermanent
	}
	switch {
	case code < 100 || code >= 500:
		return ClassServer
	case code >= 400 && asks:
		return ClassRateLimited
	case code >= 400:
		return refused
	}
	return ClassProtocol
}

// as is errors.As for err alone, without the errors that it wraps.
func as[T any](err error) (t T, ok bool) {
	if t, ok = err.(T); ok {
		return t, true
	}
	a, can := err.(interface{ As(any) bool })
	return t, can && a.As(&t)
}

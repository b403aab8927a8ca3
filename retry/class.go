package retry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strconv"
)

// A Class is a kind of failure. All failures of a class are answered alike.
type Class uint8

const (
	Network       Class = iota // no answer, a lost connection, or one that ended in good order
	Server                     // 408, 425 and 5xx: the server cannot answer at present
	RateLimited                // 420 and 429: it was asked too often
	Auth                       // 401: the credentials are not, or no longer, accepted
	Protocol                   // an answer that is not what was agreed
	TokenRejected              // the server no longer knows the position to resume from
	Permanent                  // no later attempt can succeed
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

// Classify sorts err by the methods of the errors in its tree, as the package comment
// lists them. It looks at an error before the ones it wraps, and the first that says
// anything decides: whoever wraps an error knows more than the error. Of one error,
// RejectsToken comes before StatusCode, and that before Retryable and Protocol.
//
// A status is sorted as the comments of the classes say; 204 and the rest of 4xx are
// Permanent, the rest of 1xx, 2xx and 3xx is Protocol, and what is no HTTP status at all
// counts as 5xx (RFC 9110, section 15). If the same error also has Retryable, false
// makes a Server or RateLimited failure Permanent, and true a Permanent one Server.
// Without a status, Retryable true keeps the errors below from making it Permanent.
//
// A certificate that fails verification is Permanent: until a person changes the one or
// the other side, each attempt fails alike, and to go on quietly would hide an attack or
// a wrong setup. Only one that has expired or is not yet valid is Network, since a
// renewal or a clock that is set mends it.
//
// Everything else is Network: io.EOF, io.ErrUnexpectedEOF, timeouts, whatever net and
// net/http return, errors without any of the methods, and nil.
func Classify(err error) Class {
	class, _ := classify(err)
	return class
}

// classify returns Network and false when nothing in the tree says anything.
func classify(err error) (Class, bool) {
	if err == nil {
		return Network, false
	}
	if c, ok := classifyOne(err); ok {
		return c, true
	}
	c, ok := classifyWrapped(err)
	if r, is := as[interface{ Retryable() bool }](err); is && r.Retryable() {
		if c == Permanent {
			c = Network
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
	return Network, false
}

// classifyOne judges err without what it wraps.
func classifyOne(err error) (Class, bool) {
	retryable, says := as[interface{ Retryable() bool }](err)
	if t, ok := as[interface{ RejectsToken() bool }](err); ok && t.RejectsToken() {
		return TokenRejected, true
	}
	if s, ok := as[interface{ StatusCode() int }](err); ok && s.StatusCode() != 0 {
		c := classifyStatus(s.StatusCode())
		switch {
		case says && !retryable.Retryable() && (c == Server || c == RateLimited):
			c = Permanent
		case says && retryable.Retryable() && c == Permanent:
			c = Server
		}
		return c, true
	}
	if says && !retryable.Retryable() {
		return Permanent, true
	}
	if p, ok := as[interface{ Protocol() bool }](err); ok && p.Protocol() {
		return Protocol, true
	}
	return classifyCertificate(err)
}

// statusEnhanceYourCalm is how X said 429 in its first streaming interface.
const statusEnhanceYourCalm = 420

func classifyStatus(code int) Class {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return Server
	case http.StatusTooManyRequests, statusEnhanceYourCalm:
		return RateLimited
	case http.StatusUnauthorized:
		return Auth
	case http.StatusNoContent:
		return Permanent
	}
	switch {
	case code < 100 || code >= 500:
		return Server
	case code >= 400:
		return Permanent
	}
	return Protocol
}

func classifyCertificate(err error) (Class, bool) {
	switch err.(type) {
	case *tls.CertificateVerificationError, x509.CertificateInvalidError, x509.HostnameError,
		x509.UnknownAuthorityError, x509.SystemRootsError:
	default:
		return Network, false
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return Network, true
	}
	return Permanent, true
}

// as is errors.As for err alone, without what it wraps.
func as[T any](err error) (t T, ok bool) {
	if t, ok = err.(T); ok {
		return t, true
	}
	a, can := err.(interface{ As(any) bool })
	return t, can && a.As(&t)
}

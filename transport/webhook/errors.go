package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/http"
)

// A RejectedError describes a request that was not answered with a 2xx. Its text contains nothing
// from the request. If the path is unknown, it names paths of Providers.
type RejectedError struct {
	Provider string // name of the provider; empty if the path is unknown
	Tenant   string // with whose secrets the request was compared; empty if there is none
	Status   int    // status of the answer
	Err      error  // the reason
}

func (e *RejectedError) Error() string {
	if e.Provider == "" {
		return fmt.Sprintf("webhook: request answered with %s: %v", status(e.Status), e.Err)
	}
	return fmt.Sprintf("webhook: %s request answered with %s: %v", e.Provider, status(e.Status), e.Err)
}

func (e *RejectedError) Unwrap() error { return e.Err }

// StatusCode returns Status.
func (e *RejectedError) StatusCode() int { return e.Status }

func status(code int) string {
	if text := http.StatusText(code); text != "" {
		return fmt.Sprintf("%d %s", code, text)
	}
	return fmt.Sprint(code)
}

// The reasons for a refusal that are not the provider's.
var (
	errNoPath     = errors.New("no provider for its path")
	errNoListener = errors.New("no Listener is open: there is no subscription, or it is reconnecting")
	errDraining   = errors.New("the receiver is closing or draining")
	errFull       = errors.New("the buffer is full")
	errNacked     = errors.New("the consumer refused an event")
	errLate       = errors.New("not acknowledged within the provider's Deadline")
	errGone       = errors.New("the request ended before its events were acknowledged: the sender disconnected, or a handler around the Receiver timed out")
	errTooLarge   = errors.New("request body exceeds") // the limit follows
	errSlow       = errors.New("request body did not arrive within the provider's Deadline")
	errCrowded    = errors.New("memory for unverified request bodies is exhausted")
	errBody       = errors.New("reading the request body failed")
	errCoding     = errors.New("request body has a Content-Encoding that the provider's Gzip does not allow")
	errAnswer     = errors.New("endpoint verification failed: the handshake is not configured, does not match, or could not be completed")
	errMethod     = errors.New("request method is not one of the provider's Methods")
	errUnanswered = errors.New("Receiver.Answer did not return within the provider's Deadline")
	errNoFeed     = errors.New("Receiver.Answer left the delivery to the subscription, and there is none")
	errCalls      = errors.New("too many deliveries wait for Receiver.Answer")
	errBadAnswer  = errors.New("the answer of Receiver.Answer has a status below 200 or above 599, or more than 64 KiB")
	errDecided    = errors.New("Receiver.Answer decided so")
	errPanic      = errors.New("Receiver.Answer, or a function of the provider or of the subscription, panicked")
)

// errClosed is returned by Wait after Close.
var errClosed = fmt.Errorf("webhook: %w", net.ErrClosed)

// final is a failure that another attempt cannot repair.
type final struct{ err error }

func (e *final) Error() string   { return e.err.Error() }
func (e *final) Unwrap() error   { return e.err }
func (e *final) Retryable() bool { return false }

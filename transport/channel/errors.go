package channel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// An Error is the failure of one channel. Others are not affected. What follows is decided by the
// methods of Err, as for any failure (see package retry); without them, it is retried. The text
// does not contain the name of the channel, which may be a secret.
type Error struct {
	Channel string

	// Op is what has failed.
	//
	//	prepare    Mux.Prepare failed, or did not return within After
	//	subscribe  Mux.Subscribe failed, or its message cannot be sent
	//	ack        the server did not acknowledge the channel within After
	//	refused    the server refused the channel
	//	ended      the server ended the channel
	//	overflow   the channel was not read in time; see the package documentation
	//	duplicate  a channel of the name is open; final
	//	limit      the connection has MaxChannels channels
	Op string

	After time.Duration // the limit that was exceeded, or 0
	Err   error         // the reason, or nil
}

func (e *Error) Error() string {
	text := "channel: " + e.Op
	switch {
	case e.Op == "ack":
		text = fmt.Sprintf("channel: not acknowledged within %v (AckTimeout)", e.After)
	case e.Op == "prepare" && e.After > 0:
		text = fmt.Sprintf("channel: Prepare did not return within %v (AckTimeout)", e.After)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the failure is that something took too long.
func (e *Error) Timeout() bool { return e.After > 0 }

// final is a failure that another attempt cannot repair.
type final struct{ err error }

func (e *final) Error() string   { return e.err.Error() }
func (e *final) Unwrap() error   { return e.err }
func (e *final) Retryable() bool { return false }

var (
	errDuplicate = &final{errors.New("a channel of this name is open: close its subscription first")}
	errClosed    = fmt.Errorf("channel: %w", net.ErrClosed)
	errUnused    = errors.New("channel: the connection has no channels")
	errExited    = errors.New("channel: Subscribe, Unsubscribe or OnMessage called runtime.Goexit")
)

// errReplaced is the end of a connection that announces its end. It is not a failure, but the server may
// have had more to send.
var errReplaced error = replacedError{}

type replacedError struct{}

func (replacedError) Error() string  { return "channel: connection is replaced" }
func (replacedError) Unwrap() error  { return io.EOF }
func (replacedError) Replaced() bool { return true }

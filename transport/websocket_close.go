package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// A MessageError is a message of a WebSocket that cannot be accepted.
type MessageError struct {
	Limit int // WebSocket.MaxMessage, of a message that is larger

	// Err is decode.ErrTooLarge, what Format or Unpack has found, or that a text is not UTF-8.
	Err error
}

var errNotUTF8 = errors.New("a text that is not UTF-8")

func (e *MessageError) Error() string {
	if e.Limit > 0 {
		return fmt.Sprintf("transport: a message is larger than WebSocket.MaxMessage, %d bytes", e.Limit)
	}
	return "transport: a message cannot be read: " + e.Err.Error()
}

func (e *MessageError) Unwrap() error { return e.Err }

// Retryable tells whether to connect again can help: not when a message is too large,
// because a feed that resumes sends it again.
func (e *MessageError) Retryable() bool { return e.Limit == 0 }

// Protocol tells whether the server broke a rule.
func (e *MessageError) Protocol() bool { return e.Limit == 0 }

const (
	closeNoStatus = 1005
	closeAbnormal = 1006
)

// A CloseError is the end of a WebSocket by the server or by the network. Classify and
// Closes decide what follows, and otherwise this table:
//
//	1000                          see EOF
//	1001, 1005, 1006, 1011, 1014  reconnect
//	1012                          reconnect after 5 to 30 s
//	1013, 4008, 4429              reconnect after 30 to 60 s
//	1008                          reconnect, with fresh credentials
//	3000, 3003, 4401, 4403        with fresh credentials (Prepare, Hello), once
//	4007, 4009                    without the token, which is a Gap
//	1002, 1003, 1007, 1009, 1010, 3500-3999, 4004, 4010-4014, 4400, 4406, 4409  protocol
//	all others                    reconnect
//
// To reconnect is to do so as after a loss of the network; "protocol" is the class of an
// answer that is not a feed, whose attempts are limited only until a connection has made
// progress (see package retry). So the only codes that can end a feed that has worked are
// 3000, 3003, 4401 and 4403, when the server sends one to fresh credentials as well, or
// when there are neither Prepare nor Hello to bring any.
//
// 1008 is generic (RFC 6455, section 7.4.1): servers send it for a late pong, for a slow
// consumer, for too many connections and for wrong credentials. If fresh credentials are
// refused with it at once too, it is "protocol".
//
// Codes up to 1014 are those of RFC 6455, section 7.4.1, and the IANA registry, codes from
// 3000 on what servers have in common.
type CloseError struct {
	// Code is what the server sent, 1005 when it sent none, and 1006 when the connection
	// ended without a close frame: it then wraps the error of the network, and
	// io.ErrUnexpectedEOF when that was inside a message. A clean end, 1000, 1001
	// or 1012, wraps io.EOF.
	Code   int
	Reason string // the server's text as valid UTF-8, which the error does not show
	Origin string // scheme and host

	err error
}

func (e *CloseError) Error() string {
	switch e.Code {
	case closeNoStatus:
		return "transport: " + e.Origin + ": closed by the server without a code"
	case closeAbnormal:
		text := "transport: " + e.Origin + ": the connection ended without a close frame"
		if e.err != nil {
			text += ": " + redact(e.err)
		}
		return text
	}
	return fmt.Sprintf("transport: %s: closed by the server with code %d", e.Origin, e.Code)
}

func (e *CloseError) Unwrap() error { return e.err }

func newCloseError(origin string, payload []byte) *CloseError {
	e := &CloseError{Code: closeNoStatus, Origin: origin}
	if len(payload) >= 2 {
		e.Code, e.Reason = int(binary.BigEndian.Uint16(payload)), strings.ToValidUTF8(string(payload[2:]), "\uFFFD")
	}
	switch e.Code {
	case 1000, 1001, 1012:
		e.err = io.EOF
	}
	return e
}

// Action is what to do after a connection was closed, or refused.
type Action uint8

const (
	ActionDefault   Action = iota // whatever is done otherwise
	ActionReconnect               // connect again, as after a loss of the network
	ActionWait                    // connect again, after the time that the rule says
	ActionDropToken               // the position is no longer known: connect again without it
	ActionRefresh                 // connect again with fresh credentials, once
	ActionStop                    // no further attempt can succeed
	ActionEnd                     // the feed is complete

	actionUnauthorized // ActionRefresh, but it was done
	actionPolicy       // ActionRefresh of a code that may have another reason
	actionUnexpected   // connect again, a limited number of times until that has worked
)

// A CloseRule says what to do after a close code.
type CloseRule struct {
	From, To int // the codes, both included; To 0: From only
	Action   Action
	// MinWait and MaxWait bound the wait of ActionWait, drawn at random so that not all
	// clients of a server come back at once. Default 30 s to 60 s.
	MinWait, MaxWait time.Duration
}

func (r CloseRule) validate() error {
	switch {
	case r.From <= 0 || r.To != 0 && r.To < r.From:
		return fmt.Errorf("no code is from %d to %d", r.From, r.To)
	case r.Action > ActionEnd:
		return fmt.Errorf("no such action: %d", r.Action)
	case r.MinWait < 0 || r.MaxWait != 0 && r.MaxWait < r.MinWait:
		return fmt.Errorf("no wait is from %v to %v", r.MinWait, r.MaxWait)
	}
	return nil
}

func (r CloseRule) fits(code int) bool { return r.From <= code && code <= max(r.From, r.To) }

// wait draws a time.
func (r CloseRule) wait() time.Duration {
	lo, hi := r.MinWait, r.MaxWait
	if lo == 0 && hi == 0 {
		lo, hi = 30*time.Second, time.Minute
	}
	if hi <= lo {
		return lo
	}
	return lo + rand.N(hi-lo)
}

// defaultCloses are the rules in the comment of CloseError. RFC 6455 and the IANA registry
// define the codes below 4000; 5 to 30 s come from the text that introduced 1012.
func defaultCloses(code int) CloseRule {
	switch {
	case code == 1012:
		return CloseRule{Action: ActionWait, MinWait: 5 * time.Second, MaxWait: 30 * time.Second}
	case code == 1013, code == 4008, code == 4429:
		return CloseRule{Action: ActionWait}
	case code == 1008:
		return CloseRule{Action: actionPolicy}
	case code == 3000, code == 3003, code == 4401, code == 4403:
		return CloseRule{Action: ActionRefresh}
	case code == 4007, code == 4009:
		return CloseRule{Action: ActionDropToken}
	case code == 1002, code == 1003, code == 1007, code == 1009, code == 1010, code >= 3500 && code <= 3999,
		code == 4004, code >= 4010 && code <= 4014, code == 4400, code == 4406, code == 4409:
		return CloseRule{Action: actionUnexpected}
	}
	return CloseRule{Action: ActionReconnect}
}

// DiscordCloses are the close codes of Discord's gateway
// (https://discord.com/developers/docs/topics/opcodes-and-status-codes). Use them with a
// CloseCode of 4000, because Discord ends the session on 1000 and 1001.
func DiscordCloses() []CloseRule {
	return []CloseRule{
		{From: 1000, Action: ActionReconnect},
		{From: 4000, To: 4003, Action: ActionReconnect},
		{From: 4004, Action: ActionStop},
		{From: 4005, Action: ActionReconnect},
		{From: 4007, Action: ActionDropToken},
		{From: 4008, Action: ActionWait},
		{From: 4009, Action: ActionDropToken},
		{From: 4010, To: 4014, Action: ActionStop},
	}
}

// CentrifugoCloses are the ranges of Centrifugo (https://centrifugal.dev/docs/server/codes).
func CentrifugoCloses() []CloseRule {
	return []CloseRule{
		{From: 3014, Action: ActionDropToken},
		{From: 3000, To: 3499, Action: ActionReconnect},
		{From: 3500, To: 3999, Action: ActionStop},
		{From: 4000, To: 4499, Action: ActionReconnect},
		{From: 4500, To: 4999, Action: ActionStop},
	}
}

// GraphQLCloses are the close codes of the subprotocol graphql-transport-ws
// (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md).
func GraphQLCloses() []CloseRule {
	return []CloseRule{
		{From: 4400, Action: ActionStop},
		{From: 4401, Action: ActionRefresh},
		{From: 4403, Action: ActionRefresh},
		{From: 4406, Action: ActionStop},
		{From: 4408, Action: ActionReconnect},
		{From: 4409, Action: ActionStop},
		{From: 4429, Action: ActionStop},
	}
}

// judge makes of err, a *CloseError or a *StatusError, one that says what to do.
func (w *WebSocket) judge(err error) error {
	rule := CloseRule{}
	if w.Classify != nil {
		rule.Action = w.Classify(err)
	}
	if c, ok := err.(*CloseError); ok && rule.Action == ActionDefault {
		rule = w.closeRule(c.Code)
	}
	switch rule.Action {
	case ActionDefault:
		return err
	case ActionEnd:
		return ErrEnd
	}
	j := &judged{error: err, action: rule.Action}
	if rule.Action == ActionWait {
		j.wait = rule.wait()
	}
	return j
}

// refreshed returns what err means if it asks for fresh credentials: the next attempt has
// them, unless this one had, or there is no function to bring them.
func (w *WebSocket) refreshed(err error, fresh bool) error {
	j, ok := err.(*judged)
	if !ok || j.action != ActionRefresh && j.action != actionPolicy {
		return err
	}
	can := w.Prepare != nil || w.Hello != nil
	switch {
	case can && !fresh:
		w.refresh.Store(true)
	case j.action == ActionRefresh:
		j.action = actionUnauthorized
	case can:
		j.action = actionUnexpected
	}
	return err
}

func (w *WebSocket) closeRule(code int) CloseRule {
	for _, r := range w.Closes {
		if r.fits(code) && r.Action != ActionDefault {
			return r
		}
	}
	switch {
	case code != 1000:
		return defaultCloses(code)
	case w.EOF == EOFEnds:
		return CloseRule{Action: ActionEnd}
	}
	return CloseRule{Action: ActionReconnect}
}

// judged is an error about which it is decided what to do.
type judged struct {
	error
	action Action
	wait   time.Duration
}

func (j *judged) Unwrap() error { return j.error }

// Retryable is false only where that is the decision.
func (j *judged) Retryable() bool { return j.action != ActionStop }

// Protocol reports whether the peer may not be the one that is meant.
func (j *judged) Protocol() bool { return j.action == actionUnexpected }

// RejectsToken tells whether the position is no longer known.
func (j *judged) RejectsToken() bool { return j.action == ActionDropToken }

// RetryAfter returns the wait that was drawn, or what the server asks for if that is more.
func (j *judged) RetryAfter() time.Duration {
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(j.error, &asks) {
		return max(j.wait, asks.RetryAfter())
	}
	return j.wait
}

// StatusCode is 401 where fresh credentials have not helped.
func (j *judged) StatusCode() int {
	if j.action == actionUnauthorized {
		return http.StatusUnauthorized
	}
	return 0
}

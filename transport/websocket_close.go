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

// A MessageError reports a WebSocket message that cannot be accepted or sent.
type MessageError struct {
	Limit int // WebSocket.MaxMessage, if the message exceeds it

	// Err is decode.ErrTooLarge, an error of Format or NewDecompressor, or invalid UTF-8 in a text
	// message.
	Err error
}

var errNotUTF8 = errors.New("text is not valid UTF-8")

func (e *MessageError) Error() string {
	if e.Limit > 0 {
		return fmt.Sprintf("transport: message exceeds WebSocket.MaxMessage (%d bytes)", e.Limit)
	}
	return "transport: malformed message: " + e.Err.Error()
}

func (e *MessageError) Unwrap() error { return e.Err }

// Retryable reports whether reconnecting can help. It cannot if a message is too large, because
// a feed that resumes sends it again.
func (e *MessageError) Retryable() bool { return e.Limit == 0 }

// Protocol reports whether the server violated the protocol.
func (e *MessageError) Protocol() bool { return e.Limit == 0 }

const (
	closeNoStatus = 1005
	closeAbnormal = 1006
)

// A CloseError reports that the server or the network ended a WebSocket. Classify and CloseRules
// decide what follows, and otherwise this table:
//
//	1000                          see End
//	1001, 1005, 1006, 1011, 1014  reconnect
//	1012                          reconnect after 5 to 30 s
//	1013, 4008, 4429              reconnect after 30 to 60 s
//	1008                          reconnect, with fresh credentials
//	3000, 3003, 4401, 4403        with fresh credentials (Prepare, OnConnect), once
//	4007, 4009                    without the token, which is a Gap
//	1002, 1003, 1007, 1009, 1010, 3500-3999, 4004, 4010-4014, 4400, 4406, 4409  protocol
//	all others                    reconnect
//
// "reconnect" is handled like a network failure. "protocol" is the class of a response that is
// not a feed, whose attempts are limited only until a connection has made progress (see package
// retry). So only 3000, 3003, 4401 and 4403 can end a feed that has worked: if the server also
// sends one for fresh credentials, or if there is neither Prepare nor OnConnect to provide them.
//
// 1008 is generic (RFC 6455, section 7.4.1): servers send it for a late pong, a slow consumer,
// too many connections or wrong credentials. If a connection with fresh credentials is
// closed with it at once, it is "protocol".
//
// Codes up to 1014 are from RFC 6455, section 7.4.1, and the IANA registry; codes from 3000
// follow common practice of servers.
type CloseError struct {
	// Code is the code that the server sent, 1005 if it sent none, or 1006 if the connection
	// ended without a close frame. With 1006 the error wraps the network's error, and
	// io.ErrUnexpectedEOF if the end was inside a message. A clean end (1000, 1001 or 1012)
	// wraps io.EOF.
	Code   int
	Reason string // the server's text as valid UTF-8; not in the error's text
	Origin string // scheme and host

	err error
}

func (e *CloseError) Error() string {
	switch e.Code {
	case closeNoStatus:
		return "transport: " + e.Origin + ": server closed the connection without a code"
	case closeAbnormal:
		text := "transport: " + e.Origin + ": connection ended without a close frame"
		if e.err != nil {
			text += ": " + redact(e.err)
		}
		return text
	}
	return fmt.Sprintf("transport: %s: server closed the connection with code %d", e.Origin, e.Code)
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

// An Action is what to do after a connection was closed or refused.
type Action uint8

const (
	ActionDefault   Action = iota // the next rule or the default
	ActionReconnect               // reconnect, as after a network failure
	ActionWait                    // reconnect after the wait of the rule
	ActionDropToken               // the position is unknown to the server: reconnect without it
	ActionRefresh                 // reconnect with fresh credentials, once
	ActionStop                    // no further attempt can succeed
	ActionEnd                     // the feed is complete

	actionUnauthorized // ActionRefresh, but the credentials were fresh
	actionPolicy       // ActionRefresh for a code that may have another reason
	actionUnexpected   // reconnect, a limited number of times until a connection makes progress
)

// A CloseRule defines what to do after a close code.
type CloseRule struct {
	From, To int // range of codes, inclusive; To 0: From only
	Action   Action
	// MinWait and MaxWait bound the wait of ActionWait. It is drawn at random so that the
	// clients of a server do not all reconnect at once. Default: 30 s to 60 s.
	MinWait, MaxWait time.Duration
}

func (r CloseRule) validate() error {
	switch {
	case r.From <= 0 || r.To != 0 && r.To < r.From:
		return fmt.Errorf("invalid range of codes: %d to %d", r.From, r.To)
	case r.Action > ActionEnd:
		return fmt.Errorf("unknown action %d", r.Action)
	case r.MinWait < 0 || r.MaxWait != 0 && r.MaxWait < r.MinWait:
		return fmt.Errorf("invalid wait: %v to %v", r.MinWait, r.MaxWait)
	}
	return nil
}

func (r CloseRule) fits(code int) bool { return r.From <= code && code <= max(r.From, r.To) }

// wait returns a random wait within the bounds.
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

// defaultCloseRule returns the rules in the comment of CloseError. RFC 6455 and the IANA registry
// define the codes below 4000; 5 to 30 s are from the proposal of 1012.
func defaultCloseRule(code int) CloseRule {
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

// DiscordCloseRules returns the rules for the close codes of Discord's gateway
// (https://discord.com/developers/docs/topics/opcodes-and-status-codes). Use them with a
// CloseCode of 4000, because Discord ends the session on 1000 and 1001.
func DiscordCloseRules() []CloseRule {
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

// GraphQLCloseRules returns the rules for the close codes of the subprotocol graphql-transport-ws
// (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md).
func GraphQLCloseRules() []CloseRule {
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

// judge turns err, a *CloseError or a *StatusError, into an error that reports what to do.
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
		return ErrComplete
	}
	j := &judged{error: err, action: rule.Action}
	if rule.Action == ActionWait {
		j.wait = rule.wait()
	}
	return j
}

// refreshed arranges fresh credentials for the next attempt if err asks for them and this attempt
// had none. If it had, or if no function can provide them, err reports that instead.
func (w *WebSocket) refreshed(err error, fresh bool) error {
	j, ok := err.(*judged)
	if !ok || j.action != ActionRefresh && j.action != actionPolicy {
		return err
	}
	can := w.Prepare != nil || w.OnConnect != nil
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
	for _, r := range w.CloseRules {
		if r.fits(code) && r.Action != ActionDefault {
			return r
		}
	}
	switch {
	case code != 1000:
		return defaultCloseRule(code)
	case w.End == EndFeed:
		return CloseRule{Action: ActionEnd}
	}
	return CloseRule{Action: ActionReconnect}
}

// judged is an error with the action that was decided for it.
type judged struct {
	error
	action Action
	wait   time.Duration
}

func (j *judged) Unwrap() error { return j.error }

// Retryable is false only for ActionStop.
func (j *judged) Retryable() bool { return j.action != ActionStop }

// Protocol reports whether the peer may not be the intended one.
func (j *judged) Protocol() bool { return j.action == actionUnexpected }

// RejectsToken reports whether the server no longer knows the position.
func (j *judged) RejectsToken() bool { return j.action == ActionDropToken }

// RetryAfter returns the drawn wait, or the server's own if that is longer.
func (j *judged) RetryAfter() time.Duration {
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(j.error, &asks) {
		return max(j.wait, asks.RetryAfter())
	}
	return j.wait
}

// StatusCode returns 401 if fresh credentials did not help.
func (j *judged) StatusCode() int {
	if j.action == actionUnauthorized {
		return http.StatusUnauthorized
	}
	return 0
}

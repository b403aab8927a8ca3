package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// Opcodes of a payload (https://discord.com/developers/docs/topics/opcodes-and-status-codes).
const (
	opDispatch       = 0
	opHeartbeat      = 1
	opIdentify       = 2
	opResume         = 6
	opReconnect      = 7
	opInvalidSession = 9
	opHello          = 10
	opHeartbeatAck   = 11
)

type payload struct {
	Op       int             `json:"op"`
	Data     json.RawMessage `json:"d"`
	Sequence int             `json:"s,omitempty"` // of a dispatch
	Type     string          `json:"t,omitempty"` // of a dispatch
}

type identify struct {
	Token      string            `json:"token"`
	Intents    int               `json:"intents"`
	Properties map[string]string `json:"properties"`
}

type resume struct {
	Token    string `json:"token"`
	Session  string `json:"session_id"`
	Sequence int    `json:"seq"`
}

type ready struct {
	Session   string `json:"session_id"`
	ResumeURL string `json:"resume_gateway_url"`
}

type message struct {
	ID      string `json:"id"`
	Content string `json:"content"`
}

// encode returns a payload. data must be a value that encoding/json can marshal.
func encode(op int, data any) []byte {
	d, _ := json.Marshal(data)
	text, _ := json.Marshal(payload{Op: op, Data: d})
	return text
}

// A position is where to resume: after which dispatch of which session, and at which URL.
type position struct {
	session  string
	sequence int
	url      string
}

// token returns the position in the form that the subscription keeps.
func (p position) token() string { return fmt.Sprintf("%s:%d:%s", p.session, p.sequence, p.url) }

func parsePosition(token string) (p position, ok bool) {
	parts := strings.SplitN(token, ":", 3)
	if len(parts) != 3 {
		return position{}, false
	}
	n, err := strconv.Atoi(parts[1])
	return position{parts[0], n, parts[2]}, err == nil
}

// resumeURL directs the handshake to the URL at which the gateway resumes the session, with the
// same version and encoding as the first handshake.
func resumeURL(req *http.Request, token string) error {
	p, ok := parsePosition(token)
	u, err := url.Parse(p.url)
	if !ok || err != nil {
		return nil // onConnect rejects the token
	}
	u.RawQuery = req.URL.RawQuery
	req.URL = u
	return nil
}

// invalidSession is the error after which the feed continues without a position, which is a
// Gap.
type invalidSession struct{}

func (invalidSession) Error() string      { return "the gateway has forgotten the session" }
func (invalidSession) RejectsToken() bool { return true }

// RetryAfter returns the delay before the next identify: 1 to 5 s at random for Discord, a
// tenth of that here.
func (invalidSession) RetryAfter() time.Duration {
	return 100*time.Millisecond + rand.N(400*time.Millisecond)
}

// onConnect starts the heartbeat, and starts a session or resumes that of the token. It returns
// when the gateway has accepted.
func (b *bot) onConnect(ctx context.Context, s *transport.Socket, token string) error {
	at, ok := parsePosition(token)
	if token != "" && !ok {
		return invalidSession{}
	}
	b.set(at)
	interval, err := awaitHello(s)
	if err != nil {
		return err
	}
	s.Heartbeat(transport.Heartbeat{Interval: interval, RequireAck: true, Message: b.heartbeat})
	first := encode(opIdentify, identify{b.credentials, 1 << 9, map[string]string{"os": "linux", "browser": "steadfeed", "device": "steadfeed"}})
	if token != "" {
		first = encode(opResume, resume{b.credentials, at.session, at.sequence})
	}
	if err := s.Send(ctx, first); err != nil {
		return err
	}
	return b.awaitDispatch(s)
}

func awaitHello(s *transport.Socket) (interval time.Duration, err error) {
	m, err := s.Receive()
	if err != nil {
		return 0, err
	}
	p, err := decode.JSON[payload](m.Data)
	if err != nil {
		return 0, err
	}
	if p.Op != opHello {
		return 0, fmt.Errorf("op %d instead of a hello", p.Op)
	}
	hello, err := decode.JSON[struct {
		Interval int `json:"heartbeat_interval"` // ms
	}](p.Data)
	return time.Duration(hello.Interval) * time.Millisecond, err
}

// awaitDispatch returns when the first dispatch has arrived, which onMessage then sees as well.
func (b *bot) awaitDispatch(s *transport.Socket) error {
	for {
		m, err := s.Receive()
		if err != nil {
			return err
		}
		p, err := decode.JSON[payload](m.Data)
		if err != nil {
			return err
		}
		if p.Op == opDispatch {
			s.Unread(m)
			return nil
		}
		if err := b.onMessage(s, &m); err != nil {
			return err
		}
	}
}

// onMessage turns a dispatch into an event and handles every other payload.
func (b *bot) onMessage(s *transport.Socket, m *transport.Message) error {
	p, err := decode.JSON[payload](m.Data)
	if err != nil {
		return err
	}
	m.Kind = decode.KindKeepalive
	switch p.Op {
	case opDispatch:
		return b.dispatch(p, m)
	case opHeartbeat:
		return s.Send(context.Background(), b.heartbeat())
	case opHeartbeatAck:
		s.HeartbeatAcked()
	case opReconnect:
		s.Replace()
	case opInvalidSession:
		if string(p.Data) == "true" {
			return io.EOF // to be resumed
		}
		return invalidSession{}
	}
	return nil
}

func (b *bot) dispatch(p payload, m *transport.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	m.Kind, m.Type, m.Data = decode.KindData, p.Type, p.Data
	switch p.Type {
	case "READY":
		r, err := decode.JSON[ready](p.Data)
		if err != nil {
			return err
		}
		if r.Session == "" || strings.Contains(r.Session, ":") {
			return errors.New("READY with a session that cannot be resumed")
		}
		b.at.session, b.at.url = r.Session, r.ResumeURL
		m.Kind = decode.KindPosition
	case "RESUMED":
		m.Kind = decode.KindPosition
	}
	b.at.sequence = p.Sequence
	m.Token = b.at.token()
	return nil
}

func (b *bot) set(p position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = p
}

// heartbeat returns a heartbeat with the number of the last dispatch, or null.
func (b *bot) heartbeat() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at.sequence == 0 {
		return encode(opHeartbeat, nil)
	}
	return encode(opHeartbeat, b.at.sequence)
}

package mock

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock/internal/wait"
)

// A Peer is the server's side of a WebSocket. Its methods may be called from any goroutine.
type Peer struct {
	conn *websocket.Conn
	raw  *socketConn
	ctx  context.Context

	writing chan struct{} // holds one element while a message is written
	running sync.WaitGroup
}

// Send sends a text message that is not part of the feed: an acknowledgement, a ping of the
// application, a notification.
func (p *Peer) Send(text string) error {
	p.writing <- struct{}{}
	defer func() { <-p.writing }()
	return p.conn.Write(p.ctx, websocket.MessageText, []byte(text))
}

// Receive returns the consumer's next message. It is for the opening of [Feed.WebSocket]; later
// messages are passed to heard.
func (p *Peer) Receive() (string, error) {
	_, b, err := p.conn.Read(p.ctx)
	return string(b), err
}

// WebSocket returns a handler that plays the feed over WebSockets (RFC 6455). An event is a
// text message: a JSON object as it is, and anything else in the envelope of [Feed.Handler]. A
// keepalive is a ping, a comment is a text message as it is, a position is the envelope with an
// id. [End] closes with 1001 and [Complete] with 1000, after which a transport.WebSocket
// reconnects unless its End is transport.EndFeed; [Close] uses another code. Malformed bytes are
// sent as they are, between two frames.
//
// opening is called at the start of each connection and returns the token to resume from. It
// may expect a login or a subscription, and answer it. If it fails, the connection is closed
// with 4000, or with the code and reason of a websocket.CloseError. nil: the token is that of
// the request, as with Handler.
//
// heard is called with each later message of the consumer, on the goroutine that reads them,
// and may answer through the Peer. nil: messages are ignored.
func (f *Feed) WebSocket(opening func(*Peer) (token string, err error), heard func(p *Peer, text string)) http.Handler {
	if heard == nil {
		heard = func(*Peer, string) {}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var s *session
		var refusal *Step
		if opening == nil {
			s, refusal = f.open(f.token(r), r)
		} else {
			refusal = f.refuseEarly(r)
		}
		if refusal != nil {
			w.Header().Set("Connection", "close") // as in handler
			writeRefusal(w, *refusal)
			return
		}
		p, err := accept(w, r)
		if err != nil {
			if s != nil {
				s.finish(err)
			}
			return
		}
		defer p.conn.CloseNow()
		if s == nil {
			token, err := opening(p)
			if err != nil {
				p.reject(err)
				return
			}
			if s, refusal = f.open(token, r); refusal != nil {
				p.conn.Close(closeOf(*refusal), "")
				return
			}
		}
		s.finish(p.serve(s, heard))
	})
}

func accept(w http.ResponseWriter, r *http.Request) (*Peer, error) {
	taken := &takeover{ResponseWriter: w}
	conn, err := websocket.Accept(taken, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // any Origin may use a fake feed
		Subprotocols:       offered(r),
	})
	if err != nil {
		return nil, err
	}
	return &Peer{conn: conn, raw: taken.socket, ctx: r.Context(), writing: make(chan struct{}, 1)}, nil
}

// serve plays the feed while it reads the consumer's messages.
func (p *Peer) serve(s *session, heard func(*Peer, string)) error {
	var cancel context.CancelFunc
	p.ctx, cancel = context.WithCancel(p.ctx)
	p.running.Go(func() {
		defer cancel()
		for {
			text, err := p.Receive()
			if err != nil {
				return
			}
			heard(p, text)
		}
	})
	defer p.running.Wait()
	defer p.conn.CloseNow()
	defer cancel()
	return p.sendSteps(s)
}

// sendSteps sends steps until the connection ends. It returns why the feed ended it, nil if the
// consumer did.
func (p *Peer) sendSteps(s *session) error {
	for {
		step, _, err := s.next(p.ctx)
		if err != nil {
			return nil
		}
		switch step.act {
		case sends, garbles:
			if err := p.send(step); err != nil {
				return nil
			}
			if step.part {
				return p.breakConn(s, Drop())
			}
		case stalls:
			p.raw.mute()
			<-p.ctx.Done()
			return nil
		case drops, refuses, answers:
			return p.breakConn(s, step)
		default:
			s.finish(step.readError())
			p.conn.Close(closeOf(step), step.reason)
			return step.readError()
		}
	}
}

func (p *Peer) send(s Step) error {
	switch {
	case s.act == garbles || s.part || s.slow > 0:
		return p.sendRaw(s)
	case s.frame.Kind == decode.KindComment:
		return p.Send(string(s.frame.Data))
	case s.frame.Kind == decode.KindKeepalive, s.frame.Kind == decode.KindRetry:
		p.running.Go(func() { p.conn.Ping(p.ctx) }) // Ping waits for the pong
		return nil
	}
	text, err := jsonOf(s.onWire())
	if err != nil {
		return err
	}
	return p.Send(string(text))
}

// sendRaw writes a step past the library, which writes only whole frames.
func (p *Peer) sendRaw(s Step) error {
	b, err := appendFrame(nil, s)
	if err != nil {
		return err
	}
	p.writing <- struct{}{}
	defer func() { <-p.writing }()
	return p.raw.writeRaw(func(write func([]byte) error) error {
		err := s.transmit(p.ctx, b, write)
		if s.part || err != nil {
			p.raw.mute() // later bytes would be taken for the rest of the frame
		}
		return err
	})
}

// reject closes a connection whose opening has failed.
func (p *Peer) reject(err error) {
	var close websocket.CloseError
	if !errors.As(err, &close) {
		close = websocket.CloseError{Code: 4000, Reason: "opening failed"}
	}
	p.conn.Close(close.Code, close.Reason)
}

// breakConn ends the connection without a close frame, after what was sent. Closing it while data
// from the consumer is unread would reset it and lose what was sent.
func (p *Peer) breakConn(s *session, because Step) error {
	s.finish(because.readError()) // the consumer may reconnect before it has closed this one
	raw := p.raw.Conn
	if t, ok := raw.(interface{ NetConn() net.Conn }); ok { // a *tls.Conn
		raw = t.NetConn()
	}
	if t, ok := raw.(interface{ CloseWrite() error }); ok && t.CloseWrite() == nil {
		wait.For(p.ctx, cutWait)
	}
	raw.Close()
	return because.readError()
}

// cutWait is how long a consumer has to notice that its connection has ended.
const cutWait = time.Second

// closeOf returns the code with which a step closes a WebSocket.
func closeOf(s Step) websocket.StatusCode {
	switch s.act {
	case completes:
		return websocket.StatusNormalClosure
	case closes:
		return websocket.StatusCode(s.code)
	case answers:
		if s.code == http.StatusGone {
			return closeTokenGone
		}
		return websocket.StatusTryAgainLater
	}
	return websocket.StatusGoingAway
}

// closeTokenGone means that a position is no longer known. Several gateways use this code.
const closeTokenGone = 4009

// Close closes a WebSocket with a code and a reason (RFC 6455, section 7.4). On other wires it
// is [End]. Without a wire the consumer reads a transport.CloseError.
func Close(code int, reason string) Step { return Step{act: closes, code: code, reason: reason} }

// offered returns the subprotocols of the request. The feed takes the first one.
func offered(r *http.Request) []string {
	var names []string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

package transport

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport/internal/wsframe"
)

// A socketReader makes the messages of the server those of Read. One goroutine uses it: that of
// OnConnect, and then the reader's.
type socketReader struct {
	conn       *socketConn
	decompress func([]byte) ([]byte, error)

	arena    arena
	inside   bool      // the message being received has started
	more     bool      // another complete message has been received
	unread   []Message // put back by OnConnect, to be read first
	held     int       // bytes of these
	parts    []Message // of the message that OnMessage has split
	current  *Message  // that Read sets
	received bool      // an event was received
	gap      *Gap      // for the next message
	err      error     // of the failed read

	split   *splitting // nil until Format splits the first message
	hasNext bool       // split.next is the next message

	ended atomic.Bool // everything received has been read
}

// A splitting is a message that Format splits.
type splitting struct {
	splitter decode.Splitter
	rest     []byte
	frame    decode.Frame
	batch    Message
	next     Message // its next frame
}

func (r *socketReader) read(m *Message) error {
	r.current = m
	for r.err == nil && !r.hasNext {
		switch err := r.message(); {
		case err != nil:
			r.err = err
			r.ended.Store(true)
		case r.current.Kind == decode.KindData && r.conn.feed.Format != nil:
			r.splitMessage()
		default:
			r.lose(r.current.Gap)
			r.current.Gap, r.gap = r.gap, nil
			return r.deliver()
		}
	}
	if r.hasNext {
		*m = r.split.next
		if r.advance(); !r.hasNext && r.err == nil {
			r.finishBatch()
		}
		m.Type = cmp.Or(m.Type, r.split.batch.Type)
		return r.deliver()
	}
	if r.gap != nil { // report the loss although no message follows it
		*m = Message{Kind: decode.KindKeepalive, Gap: r.gap}
		r.gap = nil
		return r.deliver()
	}
	return r.err
}

// message sets r.current to the next message that OnConnect has put back or the server has
// sent, as OnMessage leaves it.
func (r *socketReader) message() error {
	if len(r.parts) > 0 {
		r.parts = r.current.nextPart(r.parts)
		return nil
	}
	if len(r.unread) > 0 {
		*r.current, r.unread = r.unread[0], r.unread[1:]
	} else if err := r.receive(); err != nil {
		return err
	}
	if r.conn.feed.OnMessage == nil || r.current.Kind != decode.KindData {
		return nil // OnMessage sees whole messages only
	}
	if err := r.conn.feed.OnMessage(&r.conn.socket, r.current); err != nil {
		r.lose(r.current.Gap)
		return r.refuse(err)
	}
	if r.current.Parts != nil {
		r.parts = r.current.takeApart()
	}
	return nil
}

// refuse ends the connection because of an error of OnMessage.
func (r *socketReader) refuse(err error) error {
	if err != io.EOF && !errors.Is(err, ErrComplete) {
		err = &failed{"OnMessage", err}
	}
	r.conn.end.fail(err)
	return err
}

// deliver completes r.current: it records whether more is available.
func (r *socketReader) deliver() error {
	r.received = r.received || r.current.Kind == decode.KindData
	r.current.More = r.hasNext || r.err != nil || len(r.parts) > 0 || len(r.unread) > 0 || r.more
	return nil
}

// receive reads the next message into r.current.
func (r *socketReader) receive() error {
	f := &r.conn.wire.frames
	switch {
	case r.err != nil:
		return r.err
	case r.conn.life.leaving.Load() && !r.more:
		f.retire()
		return r.conn.failure(io.EOF, false)
	case !f.enter():
		return r.conn.failure(net.ErrClosed, false)
	}
	kind, data, err := r.frames()
	if err == nil {
		f.ended()
		if r.more = wsframe.HasMessage(f.unread); f.size == smallBuffer {
			r.arena.calm()
		}
	}
	f.exit()
	if err != nil {
		f.retire()
		return r.conn.failure(err, r.inside)
	}
	*r.current = Message{Data: data}
	if kind == wsframe.OpBinary {
		return r.binary()
	}
	if !r.conn.feed.AllowInvalidUTF8 && !utf8.Valid(data) {
		return r.conn.end.unacceptable(websocket.StatusInvalidFramePayloadData, &MessageError{Err: errNotUTF8})
	}
	return nil
}

// frames reads the frames of the next message, and those between them.
func (r *socketReader) frames() (kind byte, data []byte, err error) {
	r.inside = false
	for f := &r.conn.wire.frames; ; {
		h, err := f.next(r.inside)
		switch {
		case err != nil:
			return 0, nil, err
		case h.Control():
			if err := r.control(h); err != nil {
				return 0, nil, err
			}
			continue
		case h.Compressed():
			return r.inflate(h)
		case !r.inside:
			kind, r.inside = h.Op(), true
		}
		if data, err = r.payload(h, data); err != nil {
			return 0, nil, err
		}
		if h.Fin() {
			return kind, r.arena.take(data), nil
		}
	}
}

// payload appends the payload of a data frame to data, which is in the arena.
func (r *socketReader) payload(h wsframe.Header, data []byte) ([]byte, error) {
	if limit := r.conn.feed.maxMessage(); limit >= 0 && h.Length > uint64(limit-len(data)) {
		return nil, errOverLimit
	}
	f := &r.conn.wire.frames
	f.open(h)
	if f.left == 0 {
		return r.arena.extend(data, 0), nil
	}
	for f.left > 0 {
		n := int(min(f.left, uint64(max(len(data), firstPiece)))) // memory only for what may well arrive
		data = r.arena.extend(data, n)
		n, err := f.payload(data[len(data) : len(data)+n])
		data = data[:len(data)+n]
		if err != nil {
			return nil, err
		}
	}
	return data, nil
}

// control lets the library handle a control frame.
func (r *socketReader) control(h wsframe.Header) error {
	f := &r.conn.wire.frames
	if err := f.control(h); err != nil {
		return err
	}
	if !f.call() { // the library closes: what counts is the server's close frame
		if h.Op() == wsframe.OpClose {
			return net.ErrClosed
		}
		f.feed = f.feed[:0]
		return nil
	}
	defer f.called()
	f.feed = append(f.feed, wsframe.FinBit|wsframe.OpBinary, 0) // an empty message, so that Reader returns
	_, _, err := r.conn.ws.Reader(context.Background())
	return err
}

// inflate lets the library read a compressed message.
func (r *socketReader) inflate(h wsframe.Header) (kind byte, data []byte, err error) {
	f := &r.conn.wire.frames
	if !f.call() {
		return 0, nil, net.ErrClosed
	}
	defer f.called()
	f.inflate(h)
	_, body, err := r.conn.ws.Reader(context.Background())
	if err != nil {
		return 0, nil, err
	}
	r.inside = true
	for limit := r.conn.feed.maxMessage(); ; {
		data = r.arena.extend(data, usefulRoom)
		n, err := body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case limit >= 0 && len(data) > limit:
			return 0, nil, errOverLimit
		case err == io.EOF && f.compressed:
			return 0, nil, io.ErrUnexpectedEOF // which the library takes for the end of the message
		case err == io.EOF:
			return h.Op(), r.arena.take(data), nil
		case err != nil:
			return 0, nil, err
		}
	}
}

func (r *socketReader) binary() (err error) {
	m := r.current
	m.Type = "binary"
	if r.decompress == nil {
		return nil
	}
	if m.Data, err = r.decompress(m.Data); err != nil {
		return r.conn.end.unacceptable(websocket.StatusInvalidFramePayloadData, &MessageError{Err: err})
	}
	if limit := r.conn.feed.maxMessage(); limit >= 0 && len(m.Data) > limit {
		return r.conn.tooLarge()
	}
	if m.Data == nil {
		m.Kind = decode.KindKeepalive
	}
	return nil
}

// splitMessage splits r.current by Format. A message without a frame becomes a keepalive, so
// that a Read that was announced by More returns.
func (r *socketReader) splitMessage() {
	m := r.current
	limit := r.conn.feed.maxMessage()
	if limit <= 0 {
		limit = len(m.Data) + 1
	}
	if r.split == nil {
		r.split = new(splitting)
	}
	r.split.batch = *m
	r.split.splitter, r.split.rest = r.conn.feed.Format.NewSplitter(limit), m.Data
	r.lose(m.Gap)
	r.advance()
	if !r.hasNext && r.err == nil {
		r.split.next, r.hasNext = Message{Kind: decode.KindKeepalive, Gap: r.gap}, true
		r.gap = nil
	}
}

// finishBatch gives ID and Token of the message that was split to its last frame. If that cannot
// have a position, one follows.
func (r *socketReader) finishBatch() {
	m, batch := r.current, &r.split.batch
	if m.Kind != decode.KindData && m.Kind != decode.KindPosition && batch.Token != "" {
		r.split.next, r.hasNext = Message{Kind: decode.KindPosition, Token: batch.Token}, true
		return
	}
	m.ID = cmp.Or(m.ID, batch.ID)
	m.Token = cmp.Or(m.Token, batch.Token)
}

// advance sets split.next to the next frame of the message that is being split.
func (r *socketReader) advance() {
	s := r.split
	s.next, r.hasNext = Message{}, false
	for s.splitter != nil {
		s.frame = decode.Frame{}
		n, ok, err := s.splitter.Split(&s.frame, s.rest, true)
		s.rest = s.rest[n:]
		var bad *decode.FrameError
		switch {
		case errors.As(err, &bad) && bad.Resync && r.conn.feed.OnBadFrame != nil:
			r.conn.feed.OnBadFrame(bad)
			r.lose(&Gap{Reason: GapBadFrame, Missed: 1, Err: bad})
		case err != nil:
			s.splitter = nil
			r.err = r.conn.end.unacceptable(websocket.StatusInvalidFramePayloadData, &MessageError{Err: err})
		case ok:
			f := &s.frame
			s.next = Message{Data: f.Data, Type: f.Type, ID: f.ID, Token: f.ID, Kind: f.Kind, Delay: f.Delay, Gap: r.gap}
			r.hasNext, r.gap = true, nil
			return
		case n == 0:
			s.splitter, s.rest = nil, nil
		}
	}
}

// lose keeps a gap for the next event.
func (r *socketReader) lose(g *Gap) {
	switch {
	case g == nil:
	case r.gap == nil:
		r.gap = g
	default:
		both := *r.gap // a copy: the caller may own both gaps and return them again
		both.Missed += g.Missed
		r.gap = &both
	}
}

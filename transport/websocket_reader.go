package transport

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
)

// A socketReader makes the messages of the server those of Read. One goroutine uses it: that of
// OnConnect, and then the reader's.
type socketReader struct {
	conn       *socketConn
	decompress func([]byte) ([]byte, error)

	arena    arena
	number   uint64    // messages of the server that have been read
	unread   []Message // put back by OnConnect, to be read first
	held     int       // bytes of these
	parts    []Message // of the message that OnMessage has split
	current  Message
	received bool  // an event was received
	gap      *Gap  // for the next message
	err      error // of the failed read

	// The message that Format splits.
	splitter decode.Splitter
	rest     []byte
	frame    decode.Frame
	batch    Message
	next     Message // its next frame
	hasNext  bool

	ended atomic.Bool // everything received has been read
}

func (r *socketReader) read(m *Message) error {
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
			return r.deliver(m)
		}
	}
	if r.hasNext {
		r.current = r.next
		if r.advance(); !r.hasNext && r.err == nil {
			r.finishBatch()
		}
		r.current.Type = cmp.Or(r.current.Type, r.batch.Type)
		return r.deliver(m)
	}
	if r.gap != nil { // report the loss although no message follows it
		r.current = Message{Kind: decode.KindKeepalive, Gap: r.gap}
		r.gap = nil
		return r.deliver(m)
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
		r.current, r.unread = r.unread[0], r.unread[1:]
	} else if err := r.receive(); err != nil {
		return err
	}
	if r.conn.feed.OnMessage == nil || r.current.Kind != decode.KindData {
		return nil // OnMessage sees whole messages only
	}
	if err := r.conn.feed.OnMessage(&r.conn.socket, &r.current); err != nil {
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

// deliver sets m to r.current and records whether more is available.
func (r *socketReader) deliver(m *Message) error {
	r.received = r.received || r.current.Kind == decode.KindData
	r.current.More = r.hasNext || r.err != nil || len(r.parts) > 0 || len(r.unread) > 0 || r.buffered()
	*m = r.current
	return nil
}

// buffered reports whether a complete message is available.
func (r *socketReader) buffered() bool {
	return r.conn.wire.complete.Load() > r.number || r.conn.wire.more.Load()
}

// receive reads the next message into r.current.
func (r *socketReader) receive() error {
	if r.err != nil {
		return r.err
	}
	if r.conn.life.leaving.Load() && !r.buffered() {
		return r.conn.failure(io.EOF, false)
	}
	kind, body, err := r.conn.ws.Reader(context.Background())
	if err != nil {
		return r.conn.failure(err, false)
	}
	data, err := r.payload(body)
	if err != nil {
		return r.conn.failure(err, true)
	}
	r.number++
	r.current = Message{Data: data}
	if kind == websocket.MessageBinary {
		return r.binary()
	}
	if !r.conn.feed.AllowInvalidUTF8 && !utf8.Valid(data) {
		return r.conn.end.unacceptable(websocket.StatusInvalidFramePayloadData, &MessageError{Err: errNotUTF8})
	}
	return nil
}

func (r *socketReader) binary() (err error) {
	m := &r.current
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

// payload reads a message into the arena. If the wire knows that the message is one frame, and
// its length, payload need not ask the library where it ends.
func (r *socketReader) payload(body io.Reader) ([]byte, error) {
	wire, number, limit := r.conn.wire, r.number+1, r.conn.feed.maxMessage()
	plain := number > wire.fragmented.Load()
	size := 0 // unknown: the library has all of it, at most 4 KiB
	if plain && wire.complete.Load() < number {
		length := wire.length.Load()
		if limit >= 0 && length > uint64(limit) {
			return nil, errOverLimit
		}
		size = int(min(length, firstPiece))
	}
	buf, n := r.arena.room(size), 0
	for {
		m, err := body.Read(buf[n:])
		n += m
		switch {
		case limit >= 0 && n > limit:
			return nil, errOverLimit
		case err == io.EOF && wire.complete.Load() < number:
			return nil, io.ErrUnexpectedEOF // which the library takes for the end of the message
		case err == io.EOF:
			return r.arena.take(buf, n), nil
		case err != nil:
			return nil, err
		case plain && n == size && size < firstPiece, plain && size == 0 && n < len(buf):
			return r.arena.take(buf, n), nil
		case n == len(buf):
			buf = r.arena.grow(buf)
		}
	}
}

// splitMessage splits r.current by Format. A message without a frame becomes a keepalive, so
// that a Read that was announced by More returns.
func (r *socketReader) splitMessage() {
	m := &r.current
	limit := r.conn.feed.maxMessage()
	if limit <= 0 {
		limit = len(m.Data) + 1
	}
	r.batch = *m
	r.splitter, r.rest = r.conn.feed.Format.NewSplitter(limit), m.Data
	r.lose(m.Gap)
	r.advance()
	if !r.hasNext && r.err == nil {
		r.next, r.hasNext = Message{Kind: decode.KindKeepalive, Gap: r.gap}, true
		r.gap = nil
	}
}

// finishBatch gives ID and Token of the message that was split to its last frame. If that cannot
// have a position, one follows.
func (r *socketReader) finishBatch() {
	m := &r.current
	if m.Kind != decode.KindData && m.Kind != decode.KindPosition && r.batch.Token != "" {
		r.next, r.hasNext = Message{Kind: decode.KindPosition, Token: r.batch.Token}, true
		return
	}
	m.ID = cmp.Or(m.ID, r.batch.ID)
	m.Token = cmp.Or(m.Token, r.batch.Token)
}

// advance sets r.next to the next frame of the message that is being split.
func (r *socketReader) advance() {
	r.next, r.hasNext = Message{}, false
	for r.splitter != nil {
		r.frame = decode.Frame{}
		n, ok, err := r.splitter.Split(&r.frame, r.rest, true)
		r.rest = r.rest[n:]
		var bad *decode.FrameError
		switch {
		case errors.As(err, &bad) && bad.Resync && r.conn.feed.OnBadFrame != nil:
			r.conn.feed.OnBadFrame(bad)
			r.lose(&Gap{Reason: GapBadFrame, Missed: 1, Err: bad})
		case err != nil:
			r.splitter = nil
			r.err = r.conn.end.unacceptable(websocket.StatusInvalidFramePayloadData, &MessageError{Err: err})
		case ok:
			f := &r.frame
			r.next = Message{Data: f.Data, Type: f.Type, ID: f.ID, Token: f.ID, Kind: f.Kind, Delay: f.Delay, Gap: r.gap}
			r.hasNext, r.gap = true, nil
			return
		case n == 0:
			r.splitter, r.rest = nil, nil
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

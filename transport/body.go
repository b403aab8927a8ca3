package transport

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// refusalTime bounds the reading of a response that is refused.
	refusalTime = 500 * time.Millisecond

	// noticeTime is how long a body may take to notice the end of its request's context.
	noticeTime = 100 * time.Millisecond

	// maxNotice bounds what is read from a body until then.
	maxNotice = 256 << 10
)

// A body is that of a response. Close ends the context of the request, waits until the body
// has noticed, and only then closes it. From Go 1.27 on, net/http would otherwise read on
// after Close, for 50 ms or 256 KiB, to use the connection again; in a testing/synctest bubble
// that reader waits for a mutex that a blocked Read holds, which stops the clock.
//
// Close may be called during a Read and more than once.
type body struct {
	raw    io.ReadCloser
	cancel context.CancelFunc // of the request
	turn   chan struct{}      // holds a value while a Read runs
	eof    bool               // the end has been read; the holder of turn may look
	closed atomic.Bool        // raw is, or is being closed
}

// takeBody makes the body of resp one that ends the request with cancel.
func takeBody(resp *http.Response, cancel context.CancelFunc) {
	resp.Body = &body{raw: resp.Body, cancel: cancel, turn: make(chan struct{}, 1)}
}

func (b *body) Read(p []byte) (int, error) {
	b.turn <- struct{}{}
	if b.closed.Load() {
		<-b.turn
		return 0, errClosed
	}
	n, err := b.raw.Read(p)
	b.eof = b.eof || err == io.EOF
	<-b.turn
	return n, err
}

func (b *body) Close() error {
	if b.closed.Load() {
		return nil
	}
	if !b.ended() {
		b.cancel()
		b.awaitNotice()
	}
	b.close()
	b.cancel()
	return nil
}

// awaitNotice returns once a Read has failed after the end of the request's context. A body
// that does not watch the context is closed to get there.
func (b *body) awaitNotice() {
	defer closeAfter(noticeTime, b.close)()
	io.CopyN(io.Discard, b, maxNotice)
}

func (b *body) close() {
	if !b.closed.Swap(true) {
		b.raw.Close()
	}
}

// ended reports whether the body has been read to its end. It does not wait for a Read.
func (b *body) ended() bool {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
		return b.eof
	default:
		return false
	}
}

// closeAfter calls f in d unless stop is called first. stop waits for an f that has started.
func closeAfter(d time.Duration, f func()) (stop func()) {
	done := make(chan struct{})
	timer := time.AfterFunc(d, func() {
		defer close(done)
		f()
	})
	return func() {
		if !timer.Stop() {
			<-done
		}
	}
}

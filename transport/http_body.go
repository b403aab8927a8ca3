package transport

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// refusalTime limits the reading of a refused response.
	refusalTime = 500 * time.Millisecond

	// noticeTime limits how long a body may take to notice the end of its request's context.
	noticeTime = 100 * time.Millisecond

	// maxNotice is the maximum number of bytes read from a body until then.
	maxNotice = 256 << 10
)

// A body wraps the body of a response. Close ends the request's context, waits until the body
// has noticed, and only then closes it. From Go 1.27 on, net/http would otherwise continue to
// read after Close, for 50 ms or 256 KiB, to reuse the connection; in a testing/synctest bubble
// that reader waits for a mutex that a blocked Read holds, which stops the clock.
//
// Close may be called during a Read and more than once.
type body struct {
	raw    io.ReadCloser
	cancel context.CancelFunc // of the request
	turn   chan struct{}      // full while a Read runs
	eof    bool               // the end has been read; guarded by turn
	closed atomic.Bool        // raw is closed or being closed
}

// takeBody wraps the body of resp in one that ends the request with cancel.
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

// awaitNotice returns once a Read has failed after the end of the request's context. It closes
// a body that does not watch the context.
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

// closeAfter calls f after d unless stop is called first. If f has started, stop waits for it.
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

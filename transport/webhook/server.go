package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// The limits of the built-in server.
const (
	serverHeaderTimeout = 10 * time.Second
	serverIdleTimeout   = 2 * time.Minute
	serverMaxHeader     = 64 << 10
	serverMaxConns      = 16384
)

// A server is the built-in server of a Receiver. A nil one does nothing.
type server struct {
	http   http.Server
	served chan struct{} // closed when Serve has returned

	mu    sync.Mutex    // held for a few instructions
	conns int           // connections whose goroutine runs
	ended bool          // there will be no new connection
	empty chan struct{} // closed once ended is set and no connection is left
}

// serve starts the built-in server if Addr or Listener is set.
func (l *listener) serve(ctx context.Context) error {
	w := l.hook
	in, err := w.listener(ctx)
	if in == nil {
		return err
	}
	s := &server{served: make(chan struct{}), empty: make(chan struct{})}
	s.http = http.Server{
		Handler: w, TLSConfig: w.TLS,
		ReadHeaderTimeout: serverHeaderTimeout,
		IdleTimeout:       serverIdleTimeout,
		WriteTimeout:      w.longestDeadline() + serverHeaderTimeout,
		MaxHeaderBytes:    serverMaxHeader,
		ConnState:         s.count,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	l.server = s
	go func() {
		defer close(s.served)
		l.end(fmt.Errorf("webhook: serve: %w", s.serve(newLimitedListener(in, serverMaxConns))))
	}()
	return nil
}

// listener returns the listener of the built-in server, or nil if there is none.
func (w *Receiver) listener(ctx context.Context) (net.Listener, error) {
	if w.Listener != nil {
		if w.state.used.Swap(true) {
			return nil, &final{errors.New("webhook: Receiver.Listener was closed with the previous Listener: use Addr to listen more than once")}
		}
		return w.Listener, nil
	}
	if w.Addr == "" {
		return nil, nil
	}
	in, err := new(net.ListenConfig).Listen(ctx, "tcp", w.Addr)
	if err != nil {
		return nil, listenError(err, w.state.bound.Load())
	}
	w.state.bound.Store(true)
	return in, nil
}

// listenError makes the error final if the address has never worked: another attempt is unlikely to
// help. An address that has worked is tried again until it is free.
func listenError(err error, bound bool) error {
	var passing interface{ Temporary() bool } // such as a lack of file descriptors
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
	case errors.As(err, &passing) && passing.Temporary():
	case !bound:
		return &final{fmt.Errorf("webhook: Receiver.Addr: %w", err)}
	}
	return fmt.Errorf("webhook: Receiver.Addr: %w", err)
}

func (s *server) serve(l net.Listener) error {
	defer l.Close()
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(l, "", "")
	}
	return s.http.Serve(l)
}

// shut waits briefly for answers that are being sent, then closes the listener and all connections.
// net/http keeps a connection that it closes for half a second, so that the last answer is not
// lost; shut waits for that too.
func (s *server) shut() {
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerGrace)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.served
	s.mu.Lock()
	s.ended = true
	s.checkEmpty()
	s.mu.Unlock()
	linger := time.NewTimer(lingerGrace)
	defer linger.Stop()
	select {
	case <-s.empty:
	case <-linger.C:
	}
}

// count is the server's ConnState.
func (s *server) count(_ net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns++
	case http.StateClosed, http.StateHijacked:
		s.conns--
		s.checkEmpty()
	}
}

func (s *server) checkEmpty() {
	if s.ended && s.conns == 0 {
		close(s.empty)
	}
}

func (w *Receiver) longestDeadline() (d time.Duration) {
	if w.Provider != nil {
		return deadlineOf(w.Provider)
	}
	for _, p := range w.Providers {
		d = max(d, deadlineOf(p))
	}
	return d
}

package mock

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/mock/internal/wait"
)

// A Server is net/http's server on its own [Network]. It answers under every host name, on port
// 80 and, with TLS and HTTP/2, on port 443, so that code under test keeps the URLs of
// production; an http.ServeMux can distinguish hosts. A handler sees requests from 192.0.2.1. Listen
// adds listeners for other ports.
type Server struct {
	*Network

	// URL is http://feed.test, for tests that need no particular URL. https://feed.test works
	// too.
	URL string

	handler http.Handler
	http    *http.Server
	client  *http.Client
	cancel  context.CancelFunc // ends the context of every handler
	serving sync.WaitGroup

	mu      sync.Mutex
	calls   map[*call]struct{}
	conns   int // that net/http has a goroutine for
	panics  []error
	changed wait.Signal
}

// A call is a running handler.
type call struct {
	what  string
	since time.Time
}

// NewServer starts a server that answers with handler. The caller must call Close.
func NewServer(handler http.Handler) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	ca := newAuthority()
	s := &Server{
		Network: new(Network), URL: "http://feed.test",
		handler: handler, cancel: cancel, calls: make(map[*call]struct{}),
	}
	s.http = &http.Server{
		Handler:     http.HandlerFunc(s.serve),
		BaseContext: func(net.Listener) context.Context { return ctx },
		// Serve prepares HTTP/2 for ServeTLS only if it is listed here.
		TLSConfig: &tls.Config{GetCertificate: ca.certificate, NextProtos: []string{"h2", "http/1.1"}},
		ConnState: s.count,
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	s.client = &http.Client{Transport: &http.Transport{
		DialContext:       s.Dial,
		TLSClientConfig:   &tls.Config{RootCAs: ca.pool()},
		ForceAttemptHTTP2: true,
	}}
	s.start(":80", s.http.Serve)
	s.start(":443", func(l net.Listener) error { return s.http.ServeTLS(l, "", "") })
	return s
}

func (s *Server) start(addr string, serve func(net.Listener) error) {
	l, err := s.Listen(addr)
	if err != nil {
		panic(err) // cannot happen on a new network
	}
	s.serving.Go(func() { serve(l) })
}

// Client returns a client that dials on the server's network and trusts its certificates. It is
// the same client each time, and has no Timeout.
func (s *Server) Client() *http.Client { return s.client }

// Close stops the server. It cancels the contexts of the handlers, breaks all connections, and
// waits up to five seconds until the handlers have returned and both ends of each connection
// are closed. The error names what is left, such as a handler that ignores its context or a
// response body that was not closed, and each handler that has panicked.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	s.cancel()
	s.http.Close()
	s.closeAll()
	s.serving.Wait()
	errs := s.running(ctx)
	return errors.Join(append(errs, s.left(ctx)...)...)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := &call{what: r.Method + " " + r.Host + r.URL.Path, since: time.Now()}
	s.mu.Lock()
	s.calls[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		v := recover()
		s.finish(c, v)
		if v != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	s.handler.ServeHTTP(w, r)
}

func (s *Server) finish(c *call, v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, c)
	if v != nil && v != http.ErrAbortHandler {
		s.panics = append(s.panics, fmt.Errorf("mock: handler of %s panicked: %v\n%s", c.what, v, debug.Stack()))
	}
	s.changed.Fire()
}

// count follows the connections of net/http, which keeps the goroutine of one for half a
// second after it has refused the rest of a body, although the connection is closed.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns++
	case http.StateClosed, http.StateHijacked:
		s.conns--
		s.changed.Fire()
	}
}

// running waits until net/http has left its handlers and connections or ctx ends, and returns
// an error for each handler that still runs and for each that has panicked.
func (s *Server) running(ctx context.Context) (errs []error) {
	for {
		s.mu.Lock()
		idle, wake := len(s.calls)+s.conns == 0, s.changed.Fired()
		s.mu.Unlock()
		if idle || ctx.Err() != nil {
			break
		}
		wait.Until(ctx, time.Time{}, wake)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.calls {
		errs = append(errs, fmt.Errorf("mock: handler of %s is still running after %v", c.what, time.Since(c.since)))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return append(errs, s.panics...)
}

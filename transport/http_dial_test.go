package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
)

// The dial of a default client ends with its connection, although net/http detaches it from the
// request.
func TestDialEndsWithTheConnection(t *testing.T) {
	life, end := context.WithCancel(t.Context())
	dialing := make(chan struct{})
	d := &net.Dialer{ControlContext: func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
		close(dialing)
		<-ctx.Done()
		return ctx.Err()
	}}
	result := make(chan error)
	go func() {
		_, err := dialWithin(life, d)(context.WithoutCancel(life), "tcp", "127.0.0.1:1")
		result <- err
	}()
	<-dialing
	end()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

// A socket that net/http would keep idle is closed with the connection.
func TestSocketEndsWithTheConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	life, end := context.WithCancel(t.Context())
	if _, err := dialWithin(life, &net.Dialer{})(t.Context(), "tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	end()
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the peer reads %v, want io.EOF", err)
	}
}

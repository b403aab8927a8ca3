package webhook_test

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport/webhook"
)

func TestConnectionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := new(mock.Network)
		inner, err := network.Listen("hooks.test:80")
		if err != nil {
			t.Fatal(err)
		}
		l := webhook.LimitListener(inner, 2)
		accepted := make(chan net.Conn, 10)
		var accepting sync.WaitGroup
		accepting.Go(func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				accepted <- c
			}
		})
		for range 4 {
			c, err := network.Dial(t.Context(), "tcp", "hooks.test:80")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		for want := range 3 {
			synctest.Wait()
			if n := len(accepted); n != min(2, 4-want) {
				t.Fatalf("got %d connections at a time, want 2", n)
			}
			c := <-accepted
			c.Close()
			c.Close()
		}
		synctest.Wait()
		l.Close()
		accepting.Wait()
		for len(accepted) > 0 {
			(<-accepted).Close()
		}
	})
}

package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/centrifugal/centrifuge"
)

// A server is Centrifugo's own library. Restart starts it again, with an empty history.
type server struct{ instance atomic.Pointer[instance] }

type instance struct {
	node    *centrifuge.Node
	handler http.Handler
}

func newServer() (*server, error) {
	s := new(server)
	return s, s.restart()
}

func (s *server) restart() error {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "reader"}}, nil
	})
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(e centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			var err error
			switch {
			case e.Channel == "forbidden":
				err = centrifuge.ErrorPermissionDenied
			case e.Channel == "private" && e.Token != "fresh":
				err = centrifuge.ErrorTokenExpired
			}
			answer(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: true, EnablePositioning: true}}, err)
		})
	})
	if err := node.Run(); err != nil {
		return err
	}
	old := s.instance.Swap(&instance{node, centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{})})
	return old.stop()
}

func (i *instance) stop() error {
	if i == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return i.node.Shutdown(ctx)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.instance.Load().handler.ServeHTTP(w, r)
}

// publish publishes the numbers from..to.
func (s *server) publish(name string, from, to int) error {
	for i := from; i <= to; i++ {
		if _, err := s.instance.Load().node.Publish(name, fmt.Append(nil, i), centrifuge.WithHistory(100, time.Minute)); err != nil {
			return err
		}
	}
	return nil
}

// disconnect ends all connections with a code after which clients reconnect.
func (s *server) disconnect() error {
	return s.instance.Load().node.Disconnect("reader", centrifuge.WithCustomDisconnect(centrifuge.DisconnectForceReconnect))
}

// unsubscribe ends a channel.
func (s *server) unsubscribe(name string, code uint32) error {
	return s.instance.Load().node.Unsubscribe("reader", name, centrifuge.WithCustomUnsubscribe(centrifuge.Unsubscribe{Code: code, Reason: "server decision"}))
}

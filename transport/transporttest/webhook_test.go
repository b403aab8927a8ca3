package transporttest_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/transporttest"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// announced tells when it is open for the first time: before that a webhook's sender
// would be turned away.
type announced struct {
	transport.Transport
	open func()
}

func (a announced) Open(ctx context.Context, token string) (*transport.Session, error) {
	c, err := a.Transport.Open(ctx, token)
	if err == nil {
		a.open()
	}
	return c, err
}

// A webhook has no peer that could end the connection, and no position.
func TestWebhook(t *testing.T) { transporttest.RunInBubble(t, startWebhook) }

func startWebhook(t testing.TB, s transporttest.Script) transport.Transport {
	const secret = "whsec_c3RlYWRmZWVkIHN0ZWFkZmVlZA=="
	if s.Dial != transporttest.DialAccepted || s.Ending != transporttest.EndingStay || s.Resumes {
		return nil
	}
	hook := &webhook.Receiver{Provider: provider.StandardWebhooks(secret)}
	srv := mock.NewServer(hook)
	posts := sender.New(provider.StandardWebhooks(secret), srv.URL, srv.Client())
	posts.Retries = slices.Repeat([]time.Duration{time.Second}, 100)
	ctx, cancel := context.WithCancel(context.Background())
	opened := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-opened:
		}
		for _, e := range s.Events {
			time.Sleep(e.Pause)
			if _, err := posts.Send(ctx, sender.Delivery{ID: e.Token, Body: []byte(e.Data)}); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		work.Wait()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return announced{hook, sync.OnceFunc(func() { close(opened) })}
}

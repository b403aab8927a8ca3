package webhook_test

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/transporttest"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestWebhookKeepsTheContract plays the scripts of a feed that never ends: a webhook
// cannot end, nor break, as far as its receiver knows. That the sender learns where to go
// on is not the transport's doing but that of whoever calls an API of the sender's, here
// of sender.Open.
func TestKeepsTheContract(t *testing.T) {
	transporttest.RunInBubble(t, func(t testing.TB, s transporttest.Script) transport.Transport {
		if s.Ending != transporttest.EndingStay || s.Dial == transporttest.DialSilent {
			return nil
		}
		if s.Dial == transporttest.DialRefused {
			return refusing{}
		}
		w := newHook()
		w.Ack, w.Dedupe = webhook.AckOnEnqueue, -1
		p := &pusher{t: t, hook: w, events: s.Events}
		t.Cleanup(p.sending.Wait)
		return p
	})
}

// refusing cannot listen.
type refusing struct{}

func (refusing) Validate() error { return nil }

func (refusing) Open(ctx context.Context, token string) (*transport.Session, error) {
	w := newHook()
	w.Addr = "192.0.2.1:80" // which nobody has (RFC 5737)
	return w.Open(ctx, token)
}

// pusher posts events one after the other, each until it is taken.
type pusher struct {
	t       testing.TB
	hook    *webhook.Receiver
	events  []transporttest.Event
	sending sync.WaitGroup
}

func (p *pusher) Validate() error { return nil }

func (p *pusher) Open(ctx context.Context, token string) (*transport.Session, error) {
	conn, err := p.hook.Open(ctx, token)
	if err != nil {
		return nil, err
	}
	from := 0
	for i, e := range p.events {
		if e.Token == token {
			from = i + 1
		}
	}
	p.sending.Go(func() {
		for _, e := range p.events[from:] {
			time.Sleep(e.Pause)
			if !p.post(e.Token, e.Data) {
				return // the Conn was closed
			}
		}
	})
	conn.Resumes = true // post starts after the token
	return conn, nil
}

func (p *pusher) post(id, data string) bool {
	d := provider.Request{Method: http.MethodPost, Header: http.Header{}, Body: []byte(data), Time: time.Now()}
	if err := p.hook.Provider.Sign(&d, id); err != nil {
		p.t.Error(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(d.Body))
	maps.Copy(r.Header, d.Header)
	rec := httptest.NewRecorder()
	p.hook.ServeHTTP(rec, r)
	return rec.Code == http.StatusNoContent
}

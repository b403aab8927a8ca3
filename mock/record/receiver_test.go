package record_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/mock/record"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// hooked is a webhook with its sender.
func hooked(t *testing.T) (*webhook.Receiver, *sender.Client) {
	p := provider.GitHub("a secret")
	hook := &webhook.Receiver{Provider: p}
	srv := mock.NewServer(hook)
	t.Cleanup(func() { srv.Close() })
	return hook, &sender.Client{Provider: p, URL: srv.URL, Client: srv.Client()}
}

func TestReceiverRecordsWhatIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, posts := hooked(t)
		var out bytes.Buffer
		rec := record.Receiver(hook, &out, &record.Options{Redact: func(m transport.Message) transport.Message {
			m.Data = bytes.ReplaceAll(m.Data, []byte("secret"), []byte("xxx"))
			return m
		}})
		sub, err := client.Subscribe(t.Context(), rec, &client.Options{Buffer: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.WaitConnected(t.Context()); err != nil {
			t.Fatal(err)
		}
		var answers []int
		post := func(id, body string) {
			a, err := posts.Post(t.Context(), sender.Delivery{ID: id, Body: []byte(body)})
			if err != nil {
				t.Error(err)
			}
			answers = append(answers, a.Status)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			post("1", `{"a":"secret"}`)
		}()
		synctest.Wait()
		post("2", `{"b":2}`) // the buffer is full
		ev, err := sub.Next(t.Context())
		if err != nil || string(ev.Data) != `{"a":"secret"}` || ev.Delivery == nil || ev.Delivery.Provider != "github" {
			t.Fatalf("got %s, %+v, %v, want the event and the delivery of github", ev.Data, ev.Delivery, err)
		}
		ev.Ack()
		<-done
		hook.Drain()
		synctest.Wait()
		if want := []int{http.StatusServiceUnavailable, http.StatusNoContent}; len(answers) != 2 || answers[0] != want[0] || answers[1] != want[1] {
			t.Errorf("got answers %v, want %v", answers, want)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
		want := "steadfeed recording 1\n1 0s open\n1 0s event id=1 token=\"\"\n\t{\"a\":\"xxx\"}\n1 0s end\n"
		if out.String() != want {
			t.Errorf("recorded:\n%swant:\n%s", &out, want)
		}
	})
}

// The replay of a webhook has ids for Dedupe and no positions.
func TestReplayOfAReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, posts := hooked(t)
		var out bytes.Buffer
		sub, err := client.Subscribe(t.Context(), record.Receiver(hook, &out, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.WaitConnected(t.Context()); err != nil {
			t.Fatal(err)
		}
		go func() {
			posts.Post(t.Context(), sender.Delivery{ID: "1", Body: []byte(`{}`)})
			hook.Drain()
		}()
		for _, err := range sub.Events() {
			if err != nil {
				t.Error(err)
			}
		}
		sub.Close()

		script, err := record.Replay(&out, 1)
		if err != nil {
			t.Fatal(err)
		}
		feed := mock.NewFeed(script...)
		m, err := wiretest.ReadFrom(wiretest.Open(t, feed, ""))
		if err != nil || m.ID != "1" || m.Token != "" || string(m.Data) != `{}` {
			t.Errorf("got id %q, token %q, %s, %v, want id 1 and no token", m.ID, m.Token, m.Data, err)
		}
		if _, err := feed.Open(t.Context(), "1"); err == nil {
			t.Error("Open with an id: got no error, want one: the replay resumes from tokens")
		}
	})
}

// A Listener ends when its recording cannot continue, and no other one opens.
func TestReceiverEndsWhenOutFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, posts := hooked(t)
		full := errors.New("disk full")
		rec := record.Receiver(hook, writer(func(p []byte) (int, error) {
			if strings.Contains(string(p), "event") {
				return 0, full
			}
			return len(p), nil
		}), nil)
		sub, err := client.Subscribe(t.Context(), rec, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		sub.WaitConnected(t.Context())
		go posts.Post(t.Context(), sender.Delivery{ID: "1", Body: []byte(`{}`)})
		if ev, err := sub.Next(t.Context()); err != nil || ev.ID != "1" {
			t.Errorf("got %q, %v, want the event that was accepted", ev.ID, err)
		}
		var stop *client.StopError
		if _, err := sub.Next(t.Context()); !errors.As(err, &stop) || !errors.Is(err, full) {
			t.Errorf("the end: got %v, want a StopError with the error of Out", err)
		}
		time.Sleep(time.Second)
		if _, err := rec.Listen(t.Context(), nil); !errors.Is(err, full) {
			t.Errorf("Listen: got %v, want the error of Out", err)
		}
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestReceiverRecordsRefusedListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook.Receiver{Provider: provider.GitHub("a secret"), Addr: "192.0.2.1:0"}
		var out bytes.Buffer
		rec := record.Receiver(hook, &out, nil)
		if _, err := rec.Listen(context.Background(), nil); retry.Classify(err) != retry.ClassPermanent {
			t.Errorf("Listen: got error %v, want a permanent one", err)
		}
		if want := "steadfeed recording 1\n1 0s refused\n"; out.String() != want {
			t.Errorf("recorded:\n%swant:\n%s", &out, want)
		}
	})
}

func TestReceiverValidate(t *testing.T) {
	o := &record.Options{TokenOf: func(transport.Message) string { return "" }}
	for want, r := range map[string]transport.Receiver{
		"from":              record.Receiver(nil, new(bytes.Buffer), nil),
		"out":               record.Receiver(&webhook.Receiver{}, nil, nil),
		"Options.TokenOf":   record.Receiver(&webhook.Receiver{}, new(bytes.Buffer), o),
		"Receiver.Provider": record.Receiver(&webhook.Receiver{}, new(bytes.Buffer), nil),
	} {
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate: got %v, want an error about %s", err, want)
		}
	}
}

package client_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Only the events can show that these options have no effect. Each is logged once.
func TestIneffectiveOptionsAreLogged(t *testing.T) {
	bare := func(n int) (all []mock.Step) {
		for range n {
			all = append(all, mock.Event("", "x"))
		}
		return all
	}
	number := func(client.Event) (string, uint64, bool) { return "", 0, false }
	for name, c := range map[string]struct {
		steps   []mock.Step
		options client.Options
		want    string // "" is nothing
	}{
		"Dedupe without ids":         {bare(100), client.Options{Dedupe: 10}, "Dedupe has no effect"},
		"Store without tokens":       {bare(100), client.Options{Name: "n", Store: new(mock.Store)}, "Store has no effect"},
		"SequenceOf without numbers": {bare(100), client.Options{SequenceOf: number}, "SequenceOf has no effect"},
		"no options":                 {bare(100), client.Options{}, ""},
		"too few to judge":           {bare(31), client.Options{Dedupe: 10}, ""},
		"one with an id":             {append(events("1"), bare(100)...), client.Options{Dedupe: 10, Name: "n", Store: new(mock.Store)}, ""},
		"a Token":                    {bare(100), client.Options{Name: "n", Store: new(mock.Store), TokenOf: func(e client.Event) string { return string(e.Data) }}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				o := c.options
				o.Logger = slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, &slog.HandlerOptions{Level: slog.LevelWarn}))
				sub := subscribe(t, script(c.steps, steps(mock.Complete())), &o)
				data(t, sub, -1)
				sub.Close()
				n := strings.Count(log.String(), "has no effect")
				if c.want == "" && n > 0 || c.want != "" && (n != 1 || !strings.Contains(log.String(), c.want)) {
					t.Errorf("got the log\n%s\nwant %q once", &log, c.want)
				}
			})
		})
	}
}

func TestDedupeOnAWebhookIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		hook := &webhook.Receiver{Provider: provider.GitHub("secret")}
		srv := mock.NewServer(hook)
		defer srv.Close()
		sub := subscribe(t, hook, &client.Options{Dedupe: 10, Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, nil))})
		go data(t, sub, -1)
		synctest.Wait() // GitHub does not repeat what comes before a Conn is open
		github := &sender.Client{Provider: provider.GitHub("secret"), URL: srv.URL, Client: srv.Client()}
		for i := range 40 {
			if _, err := github.Send(t.Context(), sender.Delivery{ID: fmt.Sprint(i), Body: []byte(`{}`)}); err != nil {
				t.Fatal(err)
			}
		}
		if sub.Close(); strings.Count(log.String(), "Dedupe has no effect") != 1 {
			t.Errorf("got the log\n%s\nwant that Dedupe has no effect", &log)
		}
	})
}

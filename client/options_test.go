package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/record"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func TestConfigErrorListsEveryProblem(t *testing.T) {
	_, err := client.Subscribe(t.Context(), nil, &client.Options{
		Store: new(mock.Store), Buffer: -1, BufferBytes: -2, Dedupe: -3, SequenceKeys: 1,
		Retry: retry.Policy{Base: -1},
	})
	var config *client.ConfigError
	if !errors.As(err, &config) {
		t.Fatalf("Subscribe: %v, want a ConfigError", err)
	}
	for _, field := range []string{"src", "Options.Name", "Options.Buffer", "Options.BufferBytes", "Options.Dedupe",
		"Options.SequenceKeys: 1 is", "Options.SequenceKeys: has no effect", "Retry.Base"} {
		if !slices.ContainsFunc(config.Problems, func(p error) bool { return strings.Contains(p.Error(), field) }) {
			t.Errorf("got problems %v, want one of %s", err, field)
		}
	}
	if _, err := client.Subscribe(t.Context(), &transport.HTTP{URL: "not a url\x00", MaxFrame: 1}, nil); !errors.As(err, &config) {
		t.Errorf("Subscribe: %v, want a ConfigError with the transport's problems", err)
	}
}

func TestJoinedProblemsAreListed(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	for name, tt := range map[string]struct {
		err  error
		want []string
	}{
		"one":         {a, []string{"a"}},
		"joined":      {errors.Join(a, b), []string{"a", "b"}},
		"joined join": {errors.Join(errors.Join(a, b), c), []string{"a", "b", "c"}},
		"wrapped":     {fmt.Errorf("mine: %w", errors.Join(a, b)), []string{"mine: a\nb"}},
		"two verbs":   {fmt.Errorf("%w and %w", a, b), []string{"a and b"}},
	} {
		_, err := client.Subscribe(t.Context(), invalid{err: tt.err}, nil)
		var config *client.ConfigError
		if !errors.As(err, &config) {
			t.Fatalf("%s: %v, want a ConfigError", name, err)
		}
		var got []string
		for _, p := range config.Problems {
			got = append(got, p.Error())
		}
		want(t, name, got, tt.want)
	}
}

type invalid struct {
	deaf
	err error
}

func (i invalid) Validate() error { return i.err }

var _ io.Closer = (*client.Subscription)(nil)

func TestNilPointerIsRejected(t *testing.T) {
	var config *client.ConfigError
	if _, err := client.Subscribe(t.Context(), (*transport.HTTP)(nil), nil); !errors.As(err, &config) {
		t.Errorf("Subscribe: %v, want a ConfigError", err)
	}
}

// Each problem names its field and a remedy.
func TestIneffectiveOptionsAreRejected(t *testing.T) {
	hook := &webhook.Receiver{Provider: provider.GitHub("secret")}
	for name, c := range map[string]struct {
		transport transport.Source
		options   client.Options
		want      []string
	}{
		"Store on a Webhook":       {hook, client.Options{Name: "n", Store: new(mock.Store)}, []string{"Options.Store:"}},
		"OverrideID without Store": {mock.NewFeed(), client.Options{StartAfter: "7", OverrideID: "x"}, []string{"Options.OverrideID:"}},
		"StartAfter on a Webhook":  {hook, client.Options{StartAfter: "7"}, []string{"Options.StartAfter:"}},
		"in a Recorder": {record.Receiver(hook, new(bytes.Buffer), nil),
			client.Options{Name: "n", Store: new(mock.Store)}, []string{"Options.Store:"}},
		"CommitEvery alone": {mock.NewFeed(), client.Options{CommitEvery: time.Minute}, []string{"Options.CommitEvery:"}},
		"all at once": {hook, client.Options{StartAfter: "7", CommitEvery: -1, Dedupe: -1},
			[]string{"Options.CommitEvery:", "Options.StartAfter:", "Options.Dedupe:"}},
	} {
		_, err := client.Subscribe(context.Background(), c.transport, &c.options)
		var config *client.ConfigError
		if !errors.As(err, &config) || len(config.Problems) != len(c.want) {
			t.Errorf("%s: Subscribe: got %v, want problems of %q", name, err, c.want)
			continue
		}
		for i, p := range config.Problems {
			if !strings.HasPrefix(p.Error(), c.want[i]) || !strings.Contains(err.Error(), "remove it") {
				t.Errorf("%s: got problem %q, want one of %s with a remedy", name, p, c.want[i])
			}
		}
	}
}

type neither struct{}

func (neither) Validate() error { return nil }

func TestSourceMustBeTransportOrReceiver(t *testing.T) {
	_, err := client.Subscribe(t.Context(), neither{}, nil)
	var config *client.ConfigError
	if !errors.As(err, &config) || len(config.Problems) != 1 {
		t.Errorf("Subscribe: %v, want a ConfigError", err)
	}
}

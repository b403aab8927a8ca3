package webhook_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func TestValidateRequiresSignedURL(t *testing.T) {
	for _, w := range []*webhook.Receiver{
		{Provider: provider.Square("a secret")},
		{Providers: map[string]*provider.Provider{"/a": newHook().Provider, "/b": provider.Square("a secret")}},
	} {
		if err := w.Validate(); err == nil || err.Error() != "Receiver.URL: is required: square signs it" {
			t.Errorf("Validate without a URL: got %v, want an error about Receiver.URL", err)
		}
		w.URL = "https://hooks.example"
		if err := w.Validate(); err != nil {
			t.Errorf("with one: %v", err)
		}
	}
}

func TestValidateRejectsSuccessForLateAndBusy(t *testing.T) {
	for name, answers := range map[string]provider.Answers{
		"late": {Late: provider.Answer{Status: 202}},
		"busy": {Busy: provider.Answer{Status: 200}},
	} {
		w := newHook()
		w.Provider.Answers = answers
		if err := w.Validate(); err == nil || !strings.HasPrefix(err.Error(), "Receiver.Provider: Answers.") {
			t.Errorf("%s: Validate: got %v, want an error about Answers", name, err)
		}
	}
}

func TestValidate(t *testing.T) {
	w := &webhook.Receiver{
		Providers: map[string]*provider.Provider{"hooks": nil},
		Provider:  provider.GitHub(""),
		URL:       "http://host/?query", Ack: 9, MaxBody: -1, Addr: "nonsense",
	}
	err := w.Validate()
	if err == nil {
		t.Fatal("Validate: got no error, want one")
	}
	for _, field := range []string{"Provider", "Providers", `Providers["hooks"]`, "URL", "Ack", "MaxBody", "Addr"} {
		if !strings.Contains(err.Error(), "Receiver."+field+": ") {
			t.Errorf("Validate: got no problem of %s, want one:\n%v", field, err)
		}
	}
	if strings.Contains(err.Error(), "query") && strings.Contains(err.Error(), "?query") {
		t.Error("Validate: got the query in the text, want none")
	}
	if _, err := w.Listen(context.Background(), closedDeliver); retryable(err) != "false" {
		t.Errorf("Listen: got %v, want an error that is not retryable", err)
	}
}

// Options that would be ignored, or could never match, are reported.
func TestValidateCombinations(t *testing.T) {
	p := newHook().Provider
	for field, w := range map[string]*webhook.Receiver{
		"DedupeFor":                  {Provider: p, Dedupe: -1, DedupeFor: time.Hour},
		`Providers["/in?x=1"]`:       {Providers: map[string]*provider.Provider{"/in?x=1": p}},
		`Providers["/hooks/{n...}"]`: {Providers: map[string]*provider.Provider{"/hooks/{n...}": p}},
		`Providers["/{a}/x{b}"]`:     {Providers: map[string]*provider.Provider{"/{a}/x{b}": p}},
		`Providers["/{a}/{a}"]`:      {Providers: map[string]*provider.Provider{"/{a}/{a}": p}},
		`Providers["/{b}/y"]`:        {Providers: map[string]*provider.Provider{"/x/{a}": p, "/{b}/y": p, "/x/y": p, "/{b}/y/z": p}},
		"URL":                        {Providers: map[string]*provider.Provider{"/x": p}, URL: "https://example.com/{a}"},
		"Proxies":                    {Provider: p, Proxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		"ProxyHeader":                {Provider: p, ProxyHeader: "X-Real-Ip"},
		"TLS":                        {Provider: p, TLS: &tls.Config{}},
	} {
		if err := w.Validate(); err == nil || !strings.HasPrefix(err.Error(), "Receiver."+field+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("Validate: got %[2]v, want one problem of %[1]s", field, err)
		}
	}
	if err := (&webhook.Receiver{Provider: p, Dedupe: -1, DedupeFor: -1}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestSubscribeReportsEveryField(t *testing.T) {
	_, err := client.Subscribe(t.Context(), &webhook.Receiver{MaxBody: -1}, nil)
	var config *client.ConfigError
	if !errors.As(err, &config) || len(config.Problems) != 2 {
		t.Fatalf("Subscribe: got %v, want a ConfigError with 2 problems", err)
	}
	if !slices.ContainsFunc(config.Problems, func(e error) bool { return e.Error() == "Receiver.MaxBody: -1 is negative" }) {
		t.Errorf("got problems %v, want one of Receiver.MaxBody", config.Problems)
	}
}

// Validate knows which schemes sign the URL, as values and as pointers.
func TestValidateKnowsSchemesThatSignTheURL(t *testing.T) {
	signed := provider.Signature{Header: "S", Signed: "{url}{body}"}
	for scheme, want := range map[provider.Scheme]string{
		&signed:                          "Receiver.URL: is required: mine signs it",
		&provider.Signature{Header: "S"}: "<nil>",
		&provider.Token{Header: "S"}:     "<nil>",
		(*provider.Token)(nil):           "Receiver.Provider: provider: mine: Scheme is nil",
	} {
		w := &webhook.Receiver{Provider: &provider.Provider{Name: "mine", Scheme: scheme}}
		w.Provider.SetSecrets("a secret")
		if scheme == (*provider.Token)(nil) {
			w.Provider.Scheme = scheme
		}
		if got := fmt.Sprint(w.Validate()); got != want {
			t.Errorf("%T: %s, want %s", scheme, got, want)
		}
	}
}

func TestValidateTLS(t *testing.T) {
	w := newHook()
	w.TLS = &tls.Config{}
	if err := w.Validate(); err == nil || !strings.Contains(err.Error(), "Receiver.TLS: ") {
		t.Errorf("Validate of TLS without a listener: got %v, want an error", err)
	}
	w.Addr = "127.0.0.1:0"
	if err := w.Validate(); err == nil || !strings.Contains(err.Error(), "Receiver.TLS: ") {
		t.Errorf("Validate of TLS without a certificate: got %v, want an error", err)
	}
}

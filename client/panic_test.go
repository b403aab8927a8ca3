package client_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/sender"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const panicEnv = "STEADFEED_PANIC_TEST"

// fatalPanics are the functions whose panic ends the process.
var fatalPanics = []string{
	"Token", "Skip", "Sequence", "DeadLetter", "Logger", "Store.Load", "Store.Save", "Retry.Classify",
	"Trace.Connecting", "Trace.Connected", "Trace.Disconnected", "Trace.Signal", "Trace.Gap", "Trace.Saved", "Trace.Ended",
	"HTTP.Prepare", "HTTP.Resume", "HTTP.OnMessage", "HTTP.OnBadFrame", "HTTP.OnResponse", "HTTP.Decoders",
	"WebSocket.OnConnect", "WebSocket.OnMessage", "WebSocket.Classify",
}

// A panic on a goroutine of the subscription ends the process and leaves the stored position
// intact.
func TestPanicEndsTheProcess(t *testing.T) {
	if what := os.Getenv(panicEnv); what != "" {
		panicIn(what)
		return
	}
	for _, what := range fatalPanics {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := exec.Command(os.Args[0], "-test.run=^TestPanicEndsTheProcess$")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), panicEnv+"="+what)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || !bytes.Contains(out, []byte("panic: a mistake in "+what)) {
				t.Fatalf("the process ended with %v, want exit status 2 and the panic:\n%s", err, out)
			}
			if r := readRecord(t, client.FileStore(dir)); r.Token == "" || r.Events == 0 {
				t.Errorf("got %+v stored, want token 1 or a later one", r)
			}
			sub := subscribe(t, deaf{}, named(client.FileStore(dir)))
			defer sub.Close()
			if err := sub.Commit(t.Context()); err != nil { // Close has less than a second
				t.Errorf("the record cannot be taken over: %v", err)
			}
		})
	}
}

// A trap panics in one function once it is set.
type trap struct {
	what string
	set  atomic.Bool
}

func (p *trap) in(what string) {
	if what == p.what && p.set.Load() {
		panic("a mistake in " + what)
	}
}

func panicIn(what string) {
	p := &trap{what: what}
	ctx, cancel := context.WithCancel(context.Background())
	sub, err := client.Subscribe(ctx, p.transport(), p.options())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	late := time.AfterFunc(2*time.Minute, cancel)
	defer late.Stop()
	for ev, err := range sub.Events() {
		if err != nil {
			break
		}
		if ev.ID != "1" {
			if what == "DeadLetter" {
				ev.Nack(client.Terminal(nil))
			}
			continue
		}
		ev.Ack()
		if err := sub.Commit(ctx); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		p.set.Store(true)
		if what == "Trace.Ended" {
			cancel()
		} else {
			sub.Reconnect()
		}
	}
	time.Sleep(time.Second) // for Trace.Ended
	fmt.Println("no panic in", what)
	os.Exit(1)
}

func (p *trap) options() *client.Options {
	store := &trapStore{client.FileStore("."), p}
	return &client.Options{
		Name: "n", Store: store, CommitEvery: time.Millisecond,
		Logger:     slog.New(&trapHandler{slog.DiscardHandler, p}),
		TokenOf:    func(e client.Event) string { p.in("Token"); return e.ID },
		Skip:       func(client.Event) bool { p.in("Skip"); return false },
		SequenceOf: func(client.Event) (string, uint64, bool) { p.in("Sequence"); return "", 0, false },
		DeadLetter: func(context.Context, client.Event, error) error { p.in("DeadLetter"); return nil },
		Retry: retry.Policy{Classify: func(error, int) (retry.Class, bool) {
			p.in("Retry.Classify")
			return 0, false
		}},
		Trace: &client.Trace{
			Connecting:   func(client.ConnectInfo) { p.in("Trace.Connecting") },
			Connected:    func(client.ConnectInfo) { p.in("Trace.Connected") },
			Disconnected: func(client.DisconnectInfo) { p.in("Trace.Disconnected") },
			Signal:       func(transport.Message) { p.in("Trace.Signal") },
			Gap:          func(client.Gap) { p.in("Trace.Gap") },
			Saved:        func(client.SaveInfo) { p.in("Trace.Saved") },
			Ended:        func(error) { p.in("Trace.Ended") },
		},
	}
}

// transport returns a feed that has something for each function after the first event.
func (p *trap) transport() transport.Transport {
	if strings.HasPrefix(p.what, "WebSocket.") {
		steps := []mock.Step{mock.Event("1", `{"id":"1"}`), mock.Pause(50 * time.Millisecond)}
		for i := 2; i < 1000; i++ {
			steps = append(steps, mock.Event(fmt.Sprint(i), "{}"), mock.Drop(), mock.Status(503))
		}
		srv := mock.NewServer(mock.NewFeed(steps...).WebSocket(nil, nil))
		return &transport.WebSocket{
			URL: strings.Replace(srv.URL, "http", "ws", 1), Client: srv.Client(),
			OnConnect: func(context.Context, *transport.Socket, string) error { p.in("WebSocket.OnConnect"); return nil },
			OnMessage: func(_ *transport.Socket, m *transport.Message) error {
				p.in("WebSocket.OnMessage")
				m.ID = idIn(m.Data)
				m.Token = m.ID
				return nil
			},
			Classify: func(error) transport.Action { p.in("WebSocket.Classify"); return 0 },
		}
	}
	return p.http()
}

func (p *trap) http() transport.Transport {
	n := atomic.Int32{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch i := n.Add(1); {
		case i == 1:
			w.Header().Set("Content-Type", "application/x-ndjson")
			fmt.Fprintln(w, `{"id":"1"}`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case i%5 == 2 && p.what == "Trace.Gap":
			w.WriteHeader(http.StatusGone)
		case i%5 == 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Content-Encoding", "x-trap")
			z := gzip.NewWriter(w)
			fmt.Fprintf(z, "\n{\"long\":%q}\n{\"id\":\"%d\"}\n", strings.Repeat("x", 100), i)
			z.Close()
		}
	})
	srv := mock.NewServer(handler)
	return &transport.HTTP{
		URL: srv.URL, Client: srv.Client(), MaxFrame: 50,
		Prepare: func(*http.Request) error { p.in("HTTP.Prepare"); return nil },
		Resume:  func(*http.Request, string) error { p.in("HTTP.Resume"); return nil },
		OnMessage: func(m *transport.Message) error {
			p.in("HTTP.OnMessage")
			m.ID = idIn(m.Data)
			m.Token = m.ID
			return nil
		},
		OnBadFrame: func(*decode.FrameError) { p.in("HTTP.OnBadFrame") },
		OnResponse: func(*http.Response) (*client.Gap, error) { p.in("HTTP.OnResponse"); return nil, nil },
		Decoders: map[string]func(io.Reader) (io.ReadCloser, error){"x-trap": func(r io.Reader) (io.ReadCloser, error) {
			p.in("HTTP.Decoders")
			return gzip.NewReader(r)
		}},
	}
}

func idIn(data []byte) string {
	_, rest, _ := strings.Cut(string(data), `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

type trapStore struct {
	client.Store
	*trap
}

// Save fails if Load must panic, so that the record is read back.
func (s *trapStore) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	s.in("Store.Save")
	if s.what == "Store.Load" && s.set.Load() {
		return "", errors.New("a failure")
	}
	return s.Store.Save(ctx, key, data, prev)
}

func (s *trapStore) Load(ctx context.Context, key string) ([]byte, string, error) {
	s.in("Store.Load")
	return s.Store.Load(ctx, key)
}

type trapHandler struct {
	slog.Handler
	*trap
}

func (h *trapHandler) Enabled(context.Context, slog.Level) bool { h.in("Logger"); return false }

func (h *trapHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// caught calls f and returns the value of its panic, or nil.
func caught(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

// If the caller recovers, the subscription continues and can be closed.
func TestPanicOnTheCallersGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(mock.Store)
		o := named(store)
		o.Trace = &client.Trace{Nacked: func(client.Event, error) { panic("nacked") }}
		sub := subscribe(t, script(events("1", "2", "3")), o)
		for range 2 { // the event is delivered again
			if v := caught(func() {
				defer sub.Stats()
				for ev := range sub.Events() {
					if ev.ID == "1" {
						panic("body " + ev.ID)
					}
				}
			}); v != "body 1" {
				t.Fatalf("panic of the loop: got %v, want that of the body", v)
			}
		}
		got, _ := data(t, sub, 1)
		want(t, "after two panics", got, []string{"data 1"})
		ev, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v := caught(func() { ev.Nack(nil) }); v != "nacked" {
			t.Errorf("panic of Nack: got %v, want nacked", v)
		}
		if v := caught(func() {
			defer sub.Close()
			for range sub.Batches(1, 0) {
				panic("batch")
			}
		}); v != "batch" {
			t.Errorf("panic of the loop: got %v, want batch", v)
		}
		if err := sub.Close(); err != nil || readRecord(t, store).Token != "1" {
			t.Errorf("Close: got %v with %+v stored, want nil and token 1", err, readRecord(t, store))
		}
	})
	for _, in := range []string{"Store.Load", "Store.Save"} {
		synctest.Test(t, func(t *testing.T) {
			p := &trap{what: in}
			p.set.Store(true)
			store := new(mock.Store)
			if v := caught(func() { client.Subscribe(t.Context(), script(), named(&trapStore{store, p})) }); v == nil {
				t.Errorf("%s: got no panic, want one", in)
			}
			p.set.Store(false)
			sub := subscribe(t, script(events("1")), named(&trapStore{store, p}))
			if err := sub.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The request is answered or its connection closed, the next one is accepted, and Close returns.
func TestPanicInAWebhookIsContained(t *testing.T) {
	for _, what := range []string{"Verify", "Precheck", "Handshake", "Respond", "OnRejected"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &trap{what: what}
				hook := &webhook.Receiver{
					Provider: &provider.Provider{Name: "mine", Scheme: provider.Custom{
						Verify: func(r *provider.Request, secrets []string) (int, error) {
							p.in("Verify")
							if r.Header.Get("Key") != secrets[0] {
								return 0, errors.New("wrong key")
							}
							return 0, nil
						},
						Precheck: func(*provider.Request) error { p.in("Precheck"); return nil },
						Sign:     func(r *provider.Request, _, secret string) error { r.Header.Set("Key", secret); return nil },
					}},
					OnRejected: func(*webhook.RejectedError) { p.in("OnRejected") },
				}
				hook.Provider.SetSecrets("a secret")
				hook.Provider.Handshake = func(*provider.Request) (*provider.Answer, bool) { p.in("Handshake"); return nil, false }
				hook.Provider.Respond = func(*provider.Request, *provider.Delivery) *provider.Answer { p.in("Respond"); return nil }
				srv := mock.NewServer(hook)
				sub := subscribe(t, hook, nil)
				synctest.Wait() // until the Receiver listens
				github := &sender.Client{Provider: hook.Provider, URL: srv.URL, Client: srv.Client()}
				post := func(header http.Header) sender.Attempt {
					sent, err := github.Post(t.Context(), sender.Delivery{Body: []byte(`{}`), Header: header})
					if err != nil {
						t.Fatal(err)
					}
					return sent
				}
				go data(t, sub, -1)
				p.set.Store(true)
				var header http.Header
				if what == "OnRejected" {
					header = http.Header{"Content-Encoding": {"x-unknown"}}
				}
				if sent := post(header); sent.Accepted() {
					t.Errorf("delivery with a panic: got status %d, want no 2xx", sent.Status)
				}
				p.set.Store(false)
				if sent := post(nil); !sent.Accepted() {
					t.Errorf("next delivery: got status %d, %v, want a 2xx", sent.Status, sent.Err)
				}
				if err := sub.Close(); err != nil {
					t.Error(err)
				}
				srv.Close() // its error names the panic
			})
		})
	}
}

package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// proofs are the headers that verify the deliveries of a scheme.
var proofs = map[string]string{
	gitHub: "X-Hub-Signature-256", stripeV1: "Stripe-Signature", standard: "Webhook-Signature", cloudEvents: "Authorization",
}

// trusting are the entries that verify nothing, by design or for lack of a signature.
var trusting = []string{floor, "io.ReadAll alone", "cloudevents, unverified"}

// TestHooksAcceptOnlySignedWebhooks checks that every entry accepts what its sender has signed, and
// nothing else. A library that is not used properly would only seem fast.
func TestHooksAcceptOnlySignedWebhooks(t *testing.T) {
	for _, h := range hooks() {
		for _, size := range hookSizes {
			t.Run(h.scheme+"/"+h.library+"/"+strconv.Itoa(size), func(t *testing.T) {
				if !slices.Contains(trusting, h.library) {
					refused(t, h, size, "another signature", func(r []byte) []byte { return spoilHeader(r, proofs[h.scheme]) })
					refused(t, h, size, "no signature", func(r []byte) []byte {
						return bytes.Replace(r, []byte(proofs[h.scheme]), []byte("X-Nothing"), 1)
					})
				}
				if !slices.Contains(trusting, h.library) && h.scheme != cloudEvents {
					refused(t, h, size, "another body", func(r []byte) []byte {
						return bytes.Replace(r, []byte("lorem"), []byte("merol"), 1)
					})
				}
				if h.library == "cloudevents, unverified" {
					refused(t, h, size, "no event", func(r []byte) []byte {
						return bytes.Replace(r, []byte("Ce-Specversion"), []byte("X-Nothing"), 1)
					})
				}
				accepts(t, h, size)
			})
		}
	}
}

// spoilHeader changes a letter of a header's value, so that it is as well-formed as before.
func spoilHeader(request []byte, name string) []byte {
	start := bytes.Index(request, []byte(name+": "))
	end := start + bytes.Index(request[start:], []byte("\r\n"))
	at := &request[end-5]
	if *at == 'a' {
		*at = 'b'
	} else {
		*at = 'a'
	}
	return request
}

func working(t *testing.T, h hook) *receiver {
	r, err := receive(h)
	if err != nil {
		t.Fatal(err)
	}
	r.got.keep = true
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// post sends a request to r.
func post(t *testing.T, r *receiver, request []byte) error {
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	return accepted(bufio.NewReader(conn))
}

func refused(t *testing.T, h hook, size int, why string, change func([]byte) []byte) {
	t.Helper()
	r := working(t, h)
	d := &delivering{to: r.addr, sign: schemes[h.scheme], bodies: envelopes(size)}
	sent := d.request(nil, 1)
	changed := change(bytes.Clone(sent))
	if bytes.Equal(sent, changed) {
		t.Fatalf("%s: got the same request, want another", why)
	}
	err := post(t, r, changed)
	refusal := "HTTP/1.1 40"
	if h.scheme == cloudEvents && strings.HasPrefix(h.library, "steadfeed") { // its senders may drop an event after a 4xx
		refusal = "HTTP/1.1 503"
	}
	if err == nil || !strings.Contains(err.Error(), refusal) {
		t.Errorf("%s: got error %v, want one that contains %q", why, err, refusal)
	}
	if r.got.events != 0 {
		t.Errorf("%s: got %d deliveries, want none", why, r.got.events)
	}
}

func accepts(t *testing.T, h hook, size int) {
	t.Helper()
	r := working(t, h)
	d := &delivering{to: r.addr, sign: schemes[h.scheme], bodies: envelopes(size)}
	var bodies []string
	r.want, r.all = len(d.bodies)+1, make(chan struct{})
	for i := range r.want {
		request := d.request(nil, int64(i))
		_, body, _ := bytes.Cut(request, []byte("\r\n\r\n"))
		if len(body) != size {
			t.Errorf("got a body of %d bytes, want %d", len(body), size)
		}
		bodies = append(bodies, string(body))
		if err := post(t, r, request); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	select {
	case <-r.all:
	case <-time.After(10 * time.Second):
		t.Fatal("got no end of the deliveries in 10s, want all of them")
	}
	for i, got := range r.got.kept {
		if got == "" { // only inspected, or decoded into another form
			continue
		}
		if !strings.Contains(bodies[i], got) || len(got) < size/2 {
			t.Errorf("request %d: got %.100q, want its event", i, got)
		}
	}
}

// TestStreamsDeliverTheSameEvents checks that the streams deliver the same events as the webhooks.
func TestStreamsDeliverTheSameEvents(t *testing.T) {
	url := server(t)
	all := ndjsonFeed(techniqueSize).payloads
	n := len(all) + 2
	want := slices.Concat(all, all[:2])
	for name, read := range map[string]func(t *tally) error{
		"each": func(t *tally) error { return subscribe(url+"/each/430?n="+strconv.Itoa(n), t) },
		"ws": func(t *tally) error {
			return subscribeSocket("ws"+strings.TrimPrefix(url, "http")+"/ws/430?n="+strconv.Itoa(n), t)
		},
	} {
		got := tally{keep: true}
		if err := read(&got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.kept, want) {
			t.Errorf("%s: %s", name, difference(got.kept, want))
		}
	}
	d := &delivering{sign: schemes[gitHub], bodies: all}
	if request := string(d.request(nil, 3)); !strings.HasSuffix(request, "\r\n\r\n"+all[3]) {
		t.Errorf("got the request %q, want the body of event 3", request)
	}
}

// TestSenderReportsRefusedDeliveries checks that the server reports a delivery that is not accepted.
func TestSenderReportsRefusedDeliveries(t *testing.T) {
	r := working(t, hook{gitHub, "none", each(func(*http.Request) ([]byte, error) { return nil, io.ErrUnexpectedEOF })})
	if err := r.run(server(t), 1<<10, 3); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("run: got %v, want an error with 401", err)
	}
}

// TestWebhookTables runs the command for two contests that count CPU time.
func TestWebhookTables(t *testing.T) {
	lines := measured(t, command{settings: settings{span: time.Millisecond, turns: 1}, match: "^Webhook GitHub/1KiB$|^Techniques"})
	hooks := len(hookContest{scheme: gitHub}.entries())
	if want := 1 + hooks + 2 + len(techniqueContest{}.entries()); len(lines) != want {
		t.Fatalf("got the tables\n%[2]s\nwant %[1]d lines", want, strings.Join(lines, "\n"))
	}
	for _, line := range slices.Concat(lines[1:1+hooks], lines[3+hooks:]) {
		checkNumbers(t, line, 4)
	}
}

// BenchmarkWebhook is for profiles: only its CPU times are meaningful.
func BenchmarkWebhook(b *testing.B) {
	url := server(b)
	for _, size := range hookSizes {
		for _, h := range hooks() {
			b.Run(strconv.Itoa(size)+"/"+h.scheme+"/"+h.library, func(b *testing.B) {
				r, err := receive(h)
				if err != nil {
					b.Fatal(err)
				}
				defer r.close()
				b.ReportAllocs()
				c, err := spend(b.N, func(n int) error { return r.run(url, size, n) })
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(c.ns, "cpu-ns/op")
			})
		}
	}
}

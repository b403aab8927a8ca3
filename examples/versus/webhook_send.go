package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stripe/stripe-go/v85"
)

// hookConns is the number of connections that deliver at the same time, each with one request
// at a time.
const hookConns = 16

// The secret for all signatures, and its form in Standard Webhooks.
const hookSecret = "whsec_a secret of 32 bytes for it"

var hookSecret64 = "whsec_" + base64.StdEncoding.EncodeToString([]byte(hookSecret))

// A signing returns the headers that a sender adds to a delivery.
type signing func(id string, body []byte) [][2]string

// The schemes, as their owners document them.
const (
	gitHub      = "GitHub"
	stripeV1    = "Stripe"
	standard    = "Standard Webhooks"
	cloudEvents = "CloudEvents" // signs nothing: a bearer token, which its library leaves to the program
)

var schemes = map[string]signing{
	gitHub: func(id string, body []byte) [][2]string {
		return [][2]string{
			{"X-GitHub-Event", "push"}, {"X-GitHub-Delivery", id}, {"X-GitHub-Hook-ID", "292430182"},
			{"X-Hub-Signature-256", "sha256=" + hex.EncodeToString(mac(body))},
		}
	},
	stripeV1: func(_ string, body []byte) [][2]string {
		ts := strconv.FormatInt(time.Now().Unix(), 10)
		return [][2]string{{"Stripe-Signature", "t=" + ts + ",v1=" + hex.EncodeToString(mac([]byte(ts+"."), body))}}
	},
	standard: func(id string, body []byte) [][2]string {
		ts := strconv.FormatInt(time.Now().Unix(), 10)
		sum := mac([]byte(id+"."+ts+"."), body)
		return [][2]string{
			{"Webhook-Id", id}, {"Webhook-Timestamp", ts},
			{"Webhook-Signature", "v1," + base64.StdEncoding.EncodeToString(sum)},
		}
	},
	cloudEvents: func(id string, _ []byte) [][2]string {
		return [][2]string{
			{"Authorization", "Bearer " + url.QueryEscape(hookSecret)},
			{"Ce-Specversion", "1.0"}, {"Ce-Type", "push"}, {"Ce-Source", "/here"}, {"Ce-Id", id},
		}
	},
}

func mac(parts ...[]byte) []byte {
	h := hmac.New(sha256.New, []byte(hookSecret))
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// hookPrefix precedes the id in an envelope.
const hookPrefix = `{"id":"evt_`

// envelopes returns bodies that each library accepts as an event of its sender.
func envelopes(size int) (bodies []string) {
	head := fmt.Sprintf(`%s%016x","object":"event","api_version":%q,"type":"push","data":{"object":`, hookPrefix, 0, stripe.APIVersion)
	for i := range minEvents {
		bodies = append(bodies, head+payload(i, size-len(head)-2)+"}}")
	}
	return bodies
}

// A delivering is a number of requests to a receiver.
type delivering struct {
	to     string // host:port
	sign   signing
	bodies []string
	n      int64
	first  int64 // base of the ids

	sent atomic.Int64
}

// sendHooks sends n webhooks to a receiver, and answers once all of them are answered.
func sendHooks(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	size, err := strconv.Atoi(q.Get("size"))
	n, err2 := strconv.ParseInt(q.Get("n"), 10, 64)
	sign := schemes[q.Get("scheme")]
	if err = cmp.Or(err, err2); err != nil || sign == nil {
		http.Error(w, fmt.Sprint("unknown scheme or invalid number: ", err), http.StatusBadRequest)
		return
	}
	d := &delivering{to: q.Get("to"), sign: sign, n: n, first: time.Now().UnixNano()}
	if d.bodies = ndjsonFeed(size).payloads; size != techniqueSize {
		d.bodies = envelopes(size)
	}
	if err := d.run(); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

func (d *delivering) run() error {
	var all sync.WaitGroup
	errs := make([]error, hookConns)
	for i := range errs {
		all.Go(func() { errs[i] = d.connection() })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (d *delivering) connection() error {
	conn, err := net.Dial("tcp", d.to)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute + time.Duration(d.n)*time.Millisecond))
	answers := bufio.NewReader(conn)
	var request []byte
	for i := d.sent.Add(1); i <= d.n; i = d.sent.Add(1) {
		request = d.request(request[:0], i)
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if err := accepted(answers); err != nil {
			return err
		}
	}
	return nil
}

// request appends a request to b.
func (d *delivering) request(b []byte, i int64) []byte {
	body := []byte(d.bodies[int(i)%len(d.bodies)])
	if bytes.HasPrefix(body, []byte(hookPrefix)) {
		copy(body[len(hookPrefix):], fmt.Sprintf("%016x", d.first+i))
	}
	b = fmt.Appendf(b, "POST /hook HTTP/1.1\r\nHost: %s\r\nUser-Agent: versus\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", d.to, len(body))
	for _, h := range d.sign(fmt.Sprintf("msg_%016x", d.first+i), body) {
		b = fmt.Appendf(b, "%s: %s\r\n", h[0], h[1])
	}
	return append(append(b, "\r\n"...), body...)
}

// accepted reads a response, which must be a 2xx without a body.
func accepted(r *bufio.Reader) error {
	status, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 2") {
		return fmt.Errorf("delivery answered with %q", status)
	}
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == len("\r\n") {
			return nil
		}
	}
}

// askFor makes the server send n webhooks to a receiver.
func askFor(server, to, scheme string, size, n int) error {
	q := url.Values{"to": {to}, "scheme": {scheme}, "size": {strconv.Itoa(size)}, "n": {strconv.Itoa(n)}}
	resp, err := http.Get(server + "/send?" + q.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the sender failed: %s", bytes.TrimSpace(said))
	}
	return err
}

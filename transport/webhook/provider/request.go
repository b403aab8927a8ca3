package provider

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Request is a delivery as it was received: nothing in it is parsed, and its content coding
// is not removed.
type Request struct {
	Method string
	URL    string // the receiver's public URL with the query of this request
	Header http.Header
	Body   []byte    // as on the wire
	Time   time.Time // when it was received

	// Context and Deadline end the wait for the answer. A verification that waits for a free
	// processor stops when either ends; AmazonSNS instead gives each of its own requests 5 s.
	// Default: no end.
	Context  context.Context
	Deadline time.Time
}

// now returns the time at which r was received.
func (r *Request) now() time.Time {
	if r.Time.IsZero() {
		return time.Now()
	}
	return r.Time
}

// context returns a context that ends with r.Context and at r.Deadline.
func (r *Request) context() (context.Context, context.CancelFunc) {
	ctx := r.Context
	if ctx == nil {
		ctx = context.Background()
	}
	if r.Deadline.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, r.Deadline)
}

// firstHeader is Header.Get, without canonicalizing a name that is found as it is.
func firstHeader(h http.Header, name string) string {
	if lines := h[name]; len(lines) > 0 {
		return lines[0]
	}
	return h.Get(name)
}

// singleHeader returns the value of a header that a verification depends on. The header must occur
// exactly once: of two lines, even equal ones, another program may read the other. name is in
// canonical form.
func singleHeader(h http.Header, name string) (string, error) {
	lines := h[name]
	if len(lines) > 1 {
		return "", malformed("header %s occurs more than once", name)
	}
	if len(lines) == 0 || lines[0] == "" {
		return "", malformed("header %s is missing or empty", name)
	}
	return lines[0], nil
}

// query returns the parameters of the request's URL, or none if they are malformed.
func query(r *Request) url.Values {
	_, raw, _ := strings.Cut(r.URL, "?")
	raw, _, _ = strings.Cut(raw, "#")
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil
	}
	return values
}

// formType is the media type of a form.
const formType = "application/x-www-form-urlencoded"

func mediaType(r *Request) string {
	value := firstHeader(r.Header, "Content-Type")
	if value == "application/json" {
		return value
	}
	media, _, err := mime.ParseMediaType(value)
	if err != nil {
		return ""
	}
	return media
}

func cutFold(s, prefix string) (after string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

package provider

import (
	"context"
	"mime"
	"net/http"
	"net/netip"
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

	// Peer is the address from which the sender connects. The receiver determines it from the
	// connection, or from what its own proxies report. Default: unknown.
	Peer netip.Addr

	// HTTP is the request that the receiver serves. HTTP.TLS has the client's certificate. Its
	// Body must not be read, and nothing in it changed. Default: none, as in tests.
	HTTP *http.Request

	// MaxBody is the maximum size of a decompressed body in bytes. Default: 1 MiB.
	MaxBody int

	// Context and Deadline end the wait for the answer. A verification that waits for a free
	// processor stops when either ends; a request for a key or to AmazonSNS instead takes up to 5 s.
	// Default: no end.
	Context  context.Context
	Deadline time.Time

	tenant resolved
}

// Tenant returns the tenant with whose secrets the request was compared, or "" if there is none.
func (r *Request) Tenant() string {
	if r.tenant.unknown {
		return ""
	}
	return r.tenant.name
}

// PathValue returns the value of a wildcard of the path, such as {tenant} in the pattern of an
// http.ServeMux or of webhook.Receiver.Providers, or "" if there is none.
func (r *Request) PathValue(name string) string {
	if r.HTTP == nil {
		return ""
	}
	return r.HTTP.PathValue(name)
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

// singleQuery returns a parameter of the URL on which a verification depends. It must occur once.
func singleQuery(r *Request, name string) (string, error) {
	values := query(r)[name]
	if len(values) != 1 || values[0] == "" {
		return "", malformed("the parameter %s of the URL is missing, empty, or occurs more than once", name)
	}
	return values[0], nil
}

// isQuery reports whether the query of r is its payload: a GET or DELETE without a body.
func (r *Request) isQuery() bool {
	return len(r.Body) == 0 && (r.Method == http.MethodGet || r.Method == http.MethodDelete)
}

// form returns the payload of r, which may be a form.
func (r *Request) form() []byte {
	if !r.isQuery() {
		return r.Body
	}
	_, raw, _ := strings.Cut(r.URL, "?")
	raw, _, _ = strings.Cut(raw, "#")
	return []byte(raw)
}

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

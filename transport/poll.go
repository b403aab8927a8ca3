package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

const (
	defaultInterval = 60 * time.Second
	defaultTimeout  = 90 * time.Second
	maxServerWait   = 15 * time.Minute // the longest pause that a server may ask for
)

// Poll is a feed that is asked for again and again, and answers with pages: JSON documents with an
// array of events. It waits between two requests, except while the server has more events. Three
// feeds differ in how a position is presented:
//
//	// CouchDB: the page has the position after it.
//	&transport.Poll{URL: base + "/db/_changes?limit=500", Resume: transport.ResumeQuery("since"),
//		Events: "results", ID: "id", Cursor: "last_seq", Limit: 500}
//
//	// Stripe: each event is a position, and a page has the newest event first.
//	&transport.Poll{URL: "https://api.stripe.com/v1/events?limit=100", Prepare: authorize,
//		Resume: transport.ResumeQuery("ending_before"),
//		Events: "data", ID: "id", More: "has_more", NewestFirst: true}
//
//	// GitHub: no position can be presented. The pages are read back to the last event received.
//	&transport.Poll{URL: "https://api.github.com/repos/golang/go/events?per_page=100",
//		ID: "id", NewestFirst: true}
//
// Use it as *Poll and do not change it once it is in use. Open may be called from several
// goroutines at once.
//
// # Delivery
//
// With Cursor, a page is acknowledged as a whole: its last event has the new token, so that a
// restart in the middle of a page repeats the page. Otherwise each event has its own token.
//
// A page that is full (Limit), that reports more events (More), or that has a Link header with
// the relation "next" (RFC 8288) is followed by the next request at once. If it has events and the
// position does not advance, the next request waits for Interval; if that happens twice in a row,
// Read returns a *ProtocolError, because the events after that page cannot be reached. A cursor
// that returns to an earlier value counts as one that does not advance.
//
// A response without events is a decode.KindKeepalive, or a decode.KindPosition if its cursor has
// advanced. That includes 304 and 204. A 403, 420, 429 or 503 with a Retry-After (see
// StatusError.RetryAfter) is a keepalive too, and the next request waits as long; the first
// response on a connection and the third refusal in a row are errors.
//
// If neither Resume nor Cursor is set (GitHub), the pages are collected until the last event
// received, and delivered once that is found. If it is not found, because it is too old or because
// the pages exceed MaxPage, the first event has a Gap with the reason GapTokenRejected. Without a
// token, the feed starts with the events of the first page. A server that inserts an event before
// one that it has already listed is not noticed.
//
// Events may be repeated: set client.Options.Dedupe if the server continues at the position
// instead of after it.
//
// # Requests
//
// A request is prepared like one of an [HTTP] feed: Header, Resume, Prepare, redirects and the
// repetition after a 401 are the same, except that a redirect or a next page of another origin
// that TrustedOrigins does not list is a *ProtocolError. The ETag and the Last-Modified of a
// response are sent with the next request for the same position on the connection. gzip is
// decoded.
type Poll struct {
	// URL is the address of the first page, http or https, with the page size in its query. A user
	// and password in it are sent as basic authentication. Required.
	URL string

	// Header is sent with every request. Default: none.
	Header http.Header

	// Client provides its Transport and its Jar, as for an HTTP feed. Default: a new Transport for
	// each connection, which keeps only HTTP/2 connections open between requests.
	Client *http.Client

	// Resume puts the token on the request for the page after it. It is not called for an empty
	// token, nor for a page whose URL the server has named. Required, except with NewestFirst.
	Resume Resume

	// Prepare changes a request just before it is sent, see HTTP.Prepare. Default: none.
	Prepare func(*http.Request) error

	// TrustedOrigins ("https://host" or "https://host:port") may be redirected to, and may have
	// further pages. Default: only the origin of URL.
	TrustedOrigins []string

	// Events is the gjson path of the array of events in a page. A page without it is a
	// *ProtocolError; null is an empty array. Default: the page is the array.
	Events string

	// ID is the gjson path of the id in an event, for client.Options.Dedupe. Default: none.
	ID string

	// Token is the gjson path of the position in an event, such as "updated_at". Default: ID.
	Token string

	// Cursor is the gjson path of the position after the page in a page. With it, events have no
	// tokens of their own. Default: none.
	Cursor string

	// More is the gjson path of what reports in a page that more events follow: true, a number or
	// text, or the URL of the next page. null, false, 0 and "" mean that none follow. Default: the
	// Link header.
	More string

	// Limit is the number of events from which on a page is full. Default: 0; a full page is not
	// recognized by its size.
	Limit int

	// NewestFirst reports that a page starts with the newest event. Events are delivered oldest
	// first. With Resume, the server answers with the page next to the position. Without it, it
	// always answers with the newest page, and older ones follow.
	NewestFirst bool

	// Confirms reports that the server deletes the events before a position once the position is
	// presented, as Telegram's getUpdates does. Then the next page is requested once the consumer
	// has acknowledged every event (see Session.OnConfirm), and the first request of a connection
	// presents no position: events up to the token are skipped. Default: false.
	Confirms bool

	// Interval is the time from one request to the next, if the first one has not brought a full
	// page. Up to a tenth is added to it at random. A longer X-Poll-Interval (GitHub) or
	// Retry-After counts instead, up to 15 min. For long polling, set it to a second: it only
	// protects a server that answers at once. Default: 60 s.
	Interval time.Duration

	// Timeout limits the time from the start of a request to the end of its page. It must be longer
	// than the server holds a request of long polling. Negative: no limit. Default: 90 s.
	Timeout time.Duration

	// MaxPage is the maximum size of a page in bytes, after decompression, and of the events that
	// are collected with NewestFirst. Each event counts as at least 64 bytes, except in a page of up
	// to 1024 events. Negative: no limit. Default: 16 MiB.
	MaxPage int

	// OnPage is called from Open and Read with each page before its events are delivered, and may
	// change it. An error ends the connection, see HTTP.OnMessage; with ErrComplete, the events of
	// the page are delivered first. Default: none.
	OnPage func(*Page) error
}

// A Page is what a response to a Poll contains.
type Page struct {
	Header http.Header // of the response
	Body   []byte      // after decompression

	// Events are the events in the order of the page, with Data, ID and Token. A Gap and a Type may
	// be set.
	Events []Message
	Token  string // the position after the page; empty if each event has its own
	More   bool   // more events follow: ask again at once
	Next   string // URL of the next page, absolute or relative; empty if there is none
}

// Validate reports every invalid option, joined into one error. Open fails with the same error.
func (p *Poll) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("Poll."+field+": "+format, args...))
	}
	if err := checkURL(p.URL); err != nil {
		bad("URL", "%w", err)
	}
	if err := checkHeader(p.Header); err != nil {
		bad("Header", "%w", err)
	}
	for i, o := range p.TrustedOrigins {
		if !isOrigin(o) {
			bad("TrustedOrigins", "entry %d: want scheme://host or scheme://host:port", i)
		}
	}
	if p.Resume == nil && !p.NewestFirst {
		bad("Resume", "missing: without it every page is the first one; want NewestFirst if the feed has no positions")
	}
	ownTokens := cmp.Or(p.Token, p.ID) != ""
	switch {
	case p.Cursor != "" && p.Token != "":
		bad("Cursor", "excludes Token: a position belongs to the page or to the event")
	case p.Cursor != "" && p.Resume == nil:
		bad("Cursor", "requires Resume")
	case p.Cursor == "" && !ownTokens && p.OnPage == nil:
		bad("Cursor", "missing: set Cursor, Token or ID to where a page has its position")
	}
	if p.Confirms && (p.Resume == nil || p.NewestFirst || p.Cursor != "" || !ownTokens) {
		bad("Confirms", "requires Resume and a Token or ID, and excludes NewestFirst and Cursor")
	}
	if p.Limit < 0 {
		bad("Limit", "%d is negative", p.Limit)
	}
	if p.Interval < 0 {
		bad("Interval", "%v is negative: a feed cannot be asked without a pause", p.Interval)
	}
	return errors.Join(errs...)
}

// Open requests the first page after token. ctx is the lifetime of the connection; when it ends,
// Open and Read return its cause. The errors are those of HTTP.Open.
func (p *Poll) Open(ctx context.Context, token string) (*Session, error) {
	c, err := p.open(ctx, token)
	if err != nil {
		return nil, err
	}
	s := &Session{Conn: c, Resumes: true}
	if p.Confirms {
		s.OnConfirm = func(settled func() error) { c.settled = settled }
	}
	return s, nil
}

func (p *Poll) open(ctx context.Context, token string) (*pollConn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := p.Validate(); err != nil {
		return nil, &final{fmt.Errorf("transport: %w", err)}
	}
	c := p.newConn(ctx, token)
	if err := c.advance(); err != nil {
		c.cancel(err)
		return nil, err
	}
	c.opened = true
	return c, nil
}

// Since returns the events after token that the server has now, without a subscription. It ends
// after the first page that no other follows. An error, which ends it early, is its last element;
// the tokens of the events before it remain valid. Nothing is retried. Since does not suit a feed
// with Confirms, whose next page it requests without an acknowledgement.
func (p *Poll) Since(ctx context.Context, token string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		c, err := p.open(ctx, token)
		if err != nil {
			yield(Message{}, err)
			return
		}
		defer c.Close()
		for len(c.queue) > 0 || !c.atEnd {
			var m Message
			switch err := c.Read(&m); {
			case errors.Is(err, ErrComplete):
				return
			case err != nil:
				yield(Message{}, err)
				return
			case m.Kind == decode.KindData && !yield(m, nil):
				return
			}
		}
	}
}

package transport

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport/internal/link"
)

// A pageRequest names a page: by the position before it, or by the URL that the server gave it.
type pageRequest struct {
	token string // to present; empty if there is none
	url   string // instead of Poll.URL; the token is not presented
}

// A pageResponse is the response to a pageRequest.
type pageResponse struct {
	Page
	outcome outcome
	full    bool          // more events follow
	final   bool          // OnPage has reported the end of the feed
	wait    time.Duration // that the server asks for before any other request
	pace    time.Duration // that the server asks for if no more events follow
}

type outcome uint8

const (
	received  outcome = iota // a page, which may be empty
	unchanged                // 304
	refused                  // only a pause is asked for
)

// validators are what a server recognizes an unchanged page by (RFC 9110, section 8.8).
type validators struct {
	of             pageRequest
	etag, modified string
}

// present reports whether a server can recognize a page by v. Otherwise a 304 means nothing.
func (v validators) present() bool { return v.etag != "" || v.modified != "" }

func (v validators) addTo(h http.Header) {
	if v.etag != "" {
		h.Set("If-None-Match", v.etag)
	}
	if v.modified != "" {
		h.Set("If-Modified-Since", v.modified)
	}
}

// fetch requests a page.
func (c *pollConn) fetch(r pageRequest) (*pageResponse, error) {
	a := c.newAttempt(r)
	defer a.cancel(nil)
	defer after(a.timeout.After, func() { a.cancel(a.timeout) })()
	resp, err := a.follow()
	if errors.Is(err, io.EOF) { // from Read, that would be a clean end
		err = &failed{a.shown(a.url), io.ErrUnexpectedEOF}
	}
	if err == nil {
		defer context.AfterFunc(a.ctx, func() { resp.Body.Close() })()
		defer a.discard(resp)
		var p *pageResponse
		if p, err = c.receive(a, resp, r); err == nil {
			return p, nil
		}
	}
	if cause := context.Cause(a.ctx); cause != nil {
		return nil, cause
	}
	return nil, err
}

func (c *pollConn) newAttempt(r pageRequest) *attempt {
	p := c.poll
	feed := &HTTP{
		URL: cmp.Or(r.url, p.URL), Header: canonical(p.Header), Client: p.Client, Prepare: p.Prepare,
		Format: decode.JSONArray, Resume: p.Resume, TrustedOrigins: p.TrustedOrigins,
	}
	token := r.token
	if r.url != "" {
		token = "" // so that a 410 does not reject the position
	}
	first, _ := parseURL(p.URL) // checked by Validate
	if u, _ := parseURL(feed.URL); originOf(u) != originOf(first) {
		delete(feed.Header, "Host")
		feed.TrustedOrigins = append(slices.Clip(p.TrustedOrigins), originOf(first))
	}
	if c.validators.of == r {
		c.validators.addTo(feed.Header)
	}
	a := feed.newAttempt(c.ctx, token)
	a.rt = c.roundTripper
	a.timeout.Op, a.timeout.After = "page", orDefault(p.Timeout, defaultTimeout)
	return a
}

// receive returns the page in a response.
func (c *pollConn) receive(a *attempt, resp *http.Response, r pageRequest) (*pageResponse, error) {
	e := &StatusError{Code: resp.StatusCode, Header: resp.Header}
	page := &pageResponse{Page: Page{Header: resp.Header}, wait: clampWait(e.RetryAfter()), pace: pollInterval(resp.Header)}
	switch code := resp.StatusCode; {
	case a.untrusted:
		return nil, a.protocolError(resp, "redirected here from the URL's origin: add this one to TrustedOrigins if it has the feed")
	case code == http.StatusNoContent:
		c.refusals = 0
		return page, nil
	case code == http.StatusNotModified && c.validators.of == r && c.validators.present():
		c.refusals = 0
		page.outcome = unchanged
		return page, nil
	case code >= 400:
		e := a.statusError(resp)
		if c.tolerates(e) {
			page.outcome = refused
			return page, nil
		}
		return nil, e
	case code != http.StatusOK:
		return nil, a.protocolError(resp, "status "+status(code)+" is not a page")
	case isHTML(mediaType(resp.Header)):
		return nil, a.protocolError(resp, "an HTML page is not a page of events")
	}
	body, err := c.readPage(a, resp)
	if err != nil {
		return nil, err
	}
	page.Body = body
	if reason := c.poll.parse(&page.Page); reason != "" {
		if !framed(resp) && reason == notJSON {
			return nil, &failed{a.shown(resp.Request.URL), io.ErrUnexpectedEOF}
		}
		return nil, pageError(a, resp, body, reason)
	}
	if c.poll.OnPage != nil {
		err := c.poll.OnPage(&page.Page)
		if page.final = errors.Is(err, ErrComplete); err != nil && !page.final {
			return nil, &failed{"OnPage", err}
		}
	}
	if page.Next != "" {
		if page.Next, err = c.nextURL(resp, page.Next); err != nil {
			return nil, pageError(a, resp, body, err.Error())
		}
	}
	if etag, modified := resp.Header.Get("ETag"), resp.Header.Get("Last-Modified"); isFieldValue(etag) && isFieldValue(modified) {
		c.fresh = validators{r, etag, modified}
	}
	c.refusals = 0
	return page, nil
}

// tolerates reports whether a refusal only asks for a pause.
func (c *pollConn) tolerates(e *StatusError) bool {
	switch e.Code {
	case http.StatusForbidden, statusEnhanceYourCalm, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		c.refusals++
		return c.opened && c.refusals <= maxRefusals && e.RetryAfter() > 0
	}
	return false
}

// readPage reads and decompresses a body.
func (c *pollConn) readPage(a *attempt, resp *http.Response) ([]byte, error) {
	plain, ok := a.feed.decompress(resp.Body, resp.Header)
	if !ok {
		return nil, a.protocolError(resp, "unknown content encoding")
	}
	defer plain.Close()
	limit := c.poll.maxPage()
	data, err := io.ReadAll(io.LimitReader(plain, int64(limit)+1))
	switch {
	case err == nil && len(data) > limit:
		return nil, pageError(a, resp, data, "the page exceeds MaxPage: ask for fewer events in URL")
	case err == nil:
		return data, nil
	case notGzip(err):
		return nil, pageError(a, resp, nil, "body is not gzip despite its Content-Encoding")
	}
	return nil, &failed{a.shown(resp.Request.URL), err}
}

const notJSON = "the page is not valid JSON"

// parse fills a page from its body and header. It returns what is wrong with it, or "".
func (p *Poll) parse(page *Page) (problem string) {
	field := decode.Fields(page.Body)
	array := strings.TrimLeft(field(cmp.Or(p.Events, "@this")), " \t\r\n")
	switch {
	case array == "" && field("@this") == "":
		return notJSON
	case array == "" && field("["+p.Events+"]") == "[null]":
		array = "[]"
	case !strings.HasPrefix(array, "["):
		return "the page has no array of events (Poll.Events)"
	}
	elements := decode.NewReader(strings.NewReader(array), decode.JSONArray)
	elements.MaxFrame = -1
	for f, err := range elements.Frames() {
		if err != nil {
			return "the page has an invalid array of events"
		}
		if len(page.Events) >= max(p.maxPage()/minCost, fewEvents) {
			return "the page has too many events for MaxPage: ask for fewer in URL"
		}
		page.Events = append(page.Events, p.event(f.Data))
	}
	if p.Cursor != "" {
		page.Token = field(p.Cursor)
	}
	page.Next = link.Target(page.Header.Values("Link"), "next")
	if p.More != "" {
		switch more := field(p.More); {
		case more == "" || more == "false" || more == "0":
			page.Next = ""
		case strings.Contains(more, "://") || more[0] == '/' || more[0] == '?':
			page.Next, page.More = more, true
		default:
			page.More = true
		}
	}
	return ""
}

func (p *Poll) event(data []byte) Message {
	m := Message{Data: data}
	if p.ID == "" && p.Token == "" {
		return m
	}
	field := decode.Fields(data)
	if p.ID != "" {
		m.ID = field(p.ID)
	}
	switch {
	case p.Cursor != "":
	case p.Token != "":
		m.Token = field(p.Token)
	default:
		m.Token = m.ID
	}
	return m
}

// nextURL returns the URL of the next page, if it may be asked for with the caller's credentials.
func (c *pollConn) nextURL(resp *http.Response, next string) (string, error) {
	from := resp.Request.URL
	u, err := target(from, next)
	if err != nil {
		return "", errors.New("the next page has no valid http or https URL")
	}
	first, _ := parseURL(c.poll.URL) // checked by Validate
	trusting := &HTTP{TrustedOrigins: c.poll.TrustedOrigins}
	if o := originOf(u); o != originOf(first) && !trusting.trusts(o) {
		return "", errors.New("the next page has another origin: add it to TrustedOrigins if it belongs to the feed")
	}
	if u.User == nil && originOf(u) == originOf(from) {
		u.User = from.User
	}
	return u.String(), nil
}

func pageError(a *attempt, resp *http.Response, body []byte, reason string) *ProtocolError {
	return &ProtocolError{
		Reason: reason, Origin: a.shown(resp.Request.URL), Header: resp.Header,
		Body: beginning(body),
	}
}

func beginning(body []byte) []byte { return bytes.Clone(body[:min(len(body), maxErrorBody)]) }

// pollInterval returns the pause between requests that GitHub asks for
// (https://docs.github.com/en/rest/activity/events), or zero.
func pollInterval(h http.Header) time.Duration {
	n, ok := parseSeconds(h.Get("X-Poll-Interval"))
	if !ok {
		return 0
	}
	return clampWait(seconds(n))
}

func clampWait(d time.Duration) time.Duration { return min(max(d, 0), maxServerWait) }

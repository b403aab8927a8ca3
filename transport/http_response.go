package transport

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/steadfeed/steadfeed/decode"
)

// admit returns a connection for a response that is a feed, and an error for any other.
func (a *attempt) admit(resp *http.Response) (*httpConn, error) {
	switch code := resp.StatusCode; {
	case code == http.StatusNoContent:
		return nil, ErrComplete
	case code >= 400:
		return nil, a.statusError(resp)
	case code < 200 || code >= 300 || code == http.StatusResetContent || code == http.StatusPartialContent:
		return nil, a.protocolError(resp, "status "+status(code)+" is not a feed")
	}
	media := mediaType(resp.Header)
	format, ok := a.format(media)
	if !ok {
		return nil, a.notAFeed(resp, media)
	}
	if resp.StatusCode != http.StatusOK && a.feed.Format == nil && media == "application/json" {
		return nil, a.protocolError(resp, "status "+status(resp.StatusCode)+" with application/json is not a feed: set Format if its body is a feed")
	}
	c := &httpConn{
		ctx: a.ctx, cancel: a.cancel, body: resp.Body, released: make(chan struct{}),
		origin: originOf(resp.Request.URL), feed: a.feed, framed: framed(resp), onMessage: a.feed.OnMessage,
		uncompressed: a.plain, compressed: a.compresses() && compressed(resp.Header),
	}
	cancel := a.cancel // without retaining a, which holds the data of the request
	c.watch = newWatch(resp.Body, a.feed.IdleTimeout, func() { cancel(errIdle) })
	c.plain, ok = a.feed.decompress(c.watch, resp.Header)
	if !ok {
		return nil, a.protocolError(resp, fmt.Sprintf("unknown content encoding %.100q", resp.Header.Values("Content-Encoding")))
	}
	c.frames = decode.NewReader(c.plain, format)
	c.frames.MaxFrame = a.feed.MaxFrame
	if a.feed.OnBadFrame != nil {
		c.frames.OnBadFrame = c.skipFrame(a.feed.OnBadFrame)
	}
	gap, err := a.inspect(resp)
	if err != nil {
		return nil, err
	}
	c.gap = gap
	if a.feed.ResumeByGet {
		c.position = a.token
		c.placed.Store(a.token != "")
	}
	if a.token != "" && a.untrusted {
		c.gap = &Gap{Reason: GapNoToken, From: a.token, Err: errWithheld}
	}
	return c, nil
}

// inspect calls OnResponse.
func (a *attempt) inspect(resp *http.Response) (*Gap, error) {
	if a.feed.OnResponse == nil {
		return nil, nil
	}
	seen := *resp
	seen.Body = http.NoBody
	gap, err := a.feed.OnResponse(&seen)
	switch {
	case err == nil && gap == nil:
		return nil, nil
	case err == nil:
		own := *gap // later losses may be added to it
		return &own, nil
	case errors.Is(err, ErrComplete):
		return nil, ErrComplete
	}
	if err = (&failed{"OnResponse", err}); a.resumesByGet() {
		return nil, err
	}
	return nil, a.feed.once(err)
}

// framed reports whether the end of a body is marked. Otherwise the body ends with the
// connection, for an unknown reason (RFC 9112, section 6.3).
func framed(resp *http.Response) bool {
	return resp.ProtoMajor != 1 || resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0
}

// format selects the framing for a media type.
func (a *attempt) format(media string) (decode.Format, bool) {
	if isHTML(media) {
		return nil, false
	}
	if a.feed.Format != nil {
		return a.feed.Format, true
	}
	return decode.Auto(media)
}

// mediaType returns the media type of a response in lower case, without parameters. If there
// are several, the last one counts
// (https://fetch.spec.whatwg.org/#concept-header-extract-mime-type).
func mediaType(h http.Header) (media string) {
	for _, value := range h["Content-Type"] {
		for v := range strings.SplitSeq(value, ",") {
			v, _, _ = strings.Cut(v, ";")
			kind, sub, ok := strings.Cut(strings.ToLower(strings.TrimSpace(v)), "/")
			if ok && isToken(kind) && isToken(sub) && kind != "*" {
				media = kind + "/" + sub
			}
		}
	}
	return media
}

func isHTML(media string) bool { return media == "text/html" || media == "application/xhtml+xml" }

// notAFeed returns the error for a media type that names no framing.
func (a *attempt) notAFeed(resp *http.Response, media string) error {
	reason := fmt.Sprintf("content type %.100q is not a feed", media)
	if media == "" {
		reason = "no content type"
	}
	err := a.protocolError(resp, reason)
	if !isHTML(media) {
		err.Reason += ": set Format if its body is a feed"
	}
	if text := a.remark(resp, err.Body); text != "" {
		err.Reason += fmt.Sprintf(" (the body starts with %q)", text)
	}
	return err
}

// statusError returns the error for a status of 400 or above.
func (a *attempt) statusError(resp *http.Response) *StatusError {
	body := a.excerpt(resp)
	e := &StatusError{
		Code: resp.StatusCode, Header: resp.Header, Body: body, Origin: a.shown(resp.Request.URL),
		Resuming: a.token != "" && !a.untrusted, withheld: a.untrusted, remark: a.remark(resp, body),
	}
	if proxy := a.proxyOf(resp.Request); proxy != nil && e.Code == http.StatusProxyAuthRequired {
		e.Origin, e.proxy = originOf(proxy), true
	}
	return e
}

func (a *attempt) protocolError(resp *http.Response, reason string) *ProtocolError {
	return &ProtocolError{
		Reason: reason, Origin: a.shown(resp.Request.URL), Header: resp.Header, Body: a.excerpt(resp),
	}
}

// excerpt returns the beginning of a body, as far as it arrives within refusalTime, for an
// error.
func (a *attempt) excerpt(resp *http.Response) []byte {
	defer closeAfter(refusalTime, func() { resp.Body.Close() })()
	body, ok := a.feed.decompress(resp.Body, resp.Header)
	if !ok {
		body = io.NopCloser(resp.Body)
	}
	defer body.Close()
	b, _ := io.ReadAll(io.LimitReader(body, maxErrorBody))
	return b
}

package transport

import (
	"errors"
	"net/http"
	"net/url"
)

const maxRedirects = 10

// follow sends the request and follows redirects until another response arrives.
func (a *attempt) follow() (*http.Response, error) {
	for hops := 0; ; hops++ {
		resp, err := a.exchange()
		if err != nil || !isRedirect(resp.StatusCode) {
			return resp, err
		}
		if hops == maxRedirects {
			err = a.protocolError(resp, "more than 10 redirects in a row")
		} else {
			err = a.redirect(resp)
		}
		a.discard(resp)
		if err != nil {
			return nil, err
		}
	}
}

// redirect makes the request that resp asks for the next one (RFC 9110, section 15.4).
func (a *attempt) redirect(resp *http.Response) error {
	from := resp.Request.URL
	to, err := target(from, a.protocol.httpURL(resp.Header.Get("Location")))
	if err != nil {
		return a.protocolError(resp, "redirect without a valid http or https URL in Location")
	}
	origin := originOf(to)
	trusted := a.feed.trusts(origin)
	if from.Scheme == "https" && to.Scheme == "http" && !trusted {
		return a.protocolError(resp, "redirect from https to http: list the target in TrustedOrigins to allow it")
	}
	// An untrusted origin may redirect back to a trusted one. It chooses the target, so what
	// was withheld from it stays withheld.
	a.untrusted = a.untrusted || origin != a.firstOrigin && !trusted
	if a.untrusted && a.resumesByGet() { // without its token, the GET asks for something else
		return a.protocolError(resp, "redirect to an origin that is not in TrustedOrigins: the feed cannot be resumed there")
	}
	if to.User == nil && origin == originOf(from) {
		to.User = from.User
	}
	a.url = to
	if becomesGET(resp.StatusCode, a.method) {
		a.method, a.body = http.MethodGet, nil
	}
	return nil
}

func target(from *url.URL, location string) (*url.URL, error) {
	if location == "" {
		return nil, errors.New("no location")
	}
	ref, err := from.Parse(location)
	if err != nil {
		return nil, err
	}
	return parseURL(ref.String())
}

func isRedirect(code int) bool {
	switch code {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func becomesGET(code int, method string) bool {
	switch code {
	case http.StatusSeeOther:
		return true
	case http.StatusMovedPermanently, http.StatusFound:
		return method == http.MethodPost
	}
	return false
}

// dropBodyHeader removes the headers that describe a body that is no longer sent.
func dropBodyHeader(h http.Header) {
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Location", "Content-Length"} {
		h.Del(name)
	}
}

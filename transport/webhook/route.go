package webhook

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
)

// A route is what the requests of one path need.
type route struct {
	ledger  *ledger
	url     string   // public URL without query; empty if unknown
	private []string // headers that authenticate the sender

	deadlines deadlines
}

// routes returns the routes by path, with the ledgers of an earlier Listener.
func (w *Receiver) routes(ledgers map[string]*ledger) map[string]*route {
	routes := make(map[string]*route)
	if w.Provider != nil {
		routes[""] = &route{ledger: w.ledger(ledgers, ""), url: w.URL, private: w.Provider.CredentialHeaders()}
	}
	for path, p := range w.Providers {
		routes[path] = &route{ledger: w.ledger(ledgers, path), url: w.URL, private: p.CredentialHeaders()}
		if w.URL != "" {
			routes[path].url = strings.TrimSuffix(w.URL, "/") + (&url.URL{Path: path}).EscapedPath()
		}
	}
	return routes
}

func (w *Receiver) ledger(ledgers map[string]*ledger, path string) *ledger {
	l := ledgers[path]
	if l == nil {
		most := cmp.Or(w.Dedupe, defaultDedupe)
		if w.DedupeFor < 0 {
			most = -1
		}
		l = newLedger(most, cmp.Or(max(w.DedupeFor, 0), defaultDedupeFor))
		ledgers[path] = l
	}
	return l
}

func (l *listener) route(r *http.Request) *route {
	if l.hook.Provider != nil {
		return l.routes[""]
	}
	return l.routes[r.URL.Path]
}

// publicURL returns the URL of a request as the sender knows it.
func (t *route) publicURL(r *http.Request) string {
	switch {
	case t.url == "" && r.RequestURI != "":
		return r.RequestURI
	case t.url == "":
		return r.URL.RequestURI()
	case r.URL.RawQuery == "":
		return t.url
	}
	return t.url + "?" + r.URL.RawQuery
}

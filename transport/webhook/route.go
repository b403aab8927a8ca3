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
	base    string   // the part of url before a path with wildcards; empty: url has no such path
	wild    bool     // url has wildcards
	private []string // headers that authenticate the sender

	deadlines deadlines
}

// routes returns the routes by path, with the ledgers of an earlier Listener.
func (w *Receiver) routes(ledgers map[string]*ledger) map[string]*route {
	routes := make(map[string]*route)
	if w.Provider != nil {
		routes[""] = &route{
			ledger: w.ledger(ledgers, ""), url: w.URL, wild: strings.Contains(w.URL, "{"), private: w.Provider.CredentialHeaders(),
		}
	}
	for path, p := range w.Providers {
		routes[path] = &route{ledger: w.ledger(ledgers, path), url: w.URL, private: p.CredentialHeaders()}
		if w.URL != "" {
			base := strings.TrimSuffix(w.URL, "/")
			routes[path].url = base + (&url.URL{Path: path}).EscapedPath()
			if strings.Contains(path, "{") {
				routes[path].base = base
			}
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

// publicURL returns the URL of a request as the sender knows it.
func (t *route) publicURL(r *http.Request) string {
	address := t.url
	switch {
	case address == "" && r.RequestURI != "":
		return r.RequestURI
	case address == "":
		return r.URL.RequestURI()
	case t.base != "":
		address = t.base + r.URL.EscapedPath()
	case t.wild:
		address = expand(t.url, r)
	}
	if r.URL.RawQuery == "" {
		return address
	}
	return address + "?" + r.URL.RawQuery
}

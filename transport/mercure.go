package transport

import (
	"cmp"
	"errors"
	"net/http"
)

var errMercure = errors.New("transport: the Mercure hub does not know the requested position")

// MercureGap is an OnResponse for hubs of the Mercure protocol (https://mercure.rocks/spec,
// Reconciliation). A hub that does not know the requested position responds with 200 and the id
// after which it resumes, or "earliest", in the header field Mercure-Last-Event-ID
// (Last-Event-ID before version 1.0). MercureGap returns a Gap if that differs from the
// requested position, and none if the field is missing.
func MercureGap(resp *http.Response) (*Gap, error) {
	query := resp.Request.URL.Query()
	from := cmp.Or(resp.Request.Header.Get("Last-Event-ID"),
		query.Get("last_event_id"), query.Get("lastEventID"), query.Get("Last-Event-ID"))
	at := cmp.Or(resp.Header.Get("Mercure-Last-Event-ID"), resp.Header.Get("Last-Event-ID"))
	if from == "" || at == "" || at == from {
		return nil, nil
	}
	return &Gap{Reason: GapNotice, From: from, Err: errMercure}, nil
}

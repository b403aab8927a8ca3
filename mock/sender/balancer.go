package sender

import (
	"net/http"
	"sync/atomic"
)

// A Balancer is a handler that spreads requests over the replicas of a receiver, as a load balancer
// does. Without Pick, deliveries alternate between two replicas, and the retry of one that the first
// refused goes to the second. Give it to a [mock.Server], and the URL of that to a Client.
//
// Replicas do not know what the others have acknowledged: a delivery that one of them acknowledged
// too late, or whose answer was lost, becomes an event again at another. A consumer must recognize it
// by its id in a store that all of them share.
//
// Do not change a Balancer once it is in use. ServeHTTP may be called from any goroutine.
//
// [mock.Server]: https://pkg.go.dev/github.com/steadfeed/steadfeed/mock#Server
type Balancer struct {
	// Replicas are the receivers. A request is answered with 502 if there are none.
	Replicas []http.Handler

	// Pick returns the index of the replica that gets the nth request, counted from 0. It may be
	// called concurrently. A request for which it returns no index of a replica is answered with
	// 502, as if the replica had crashed. Default: n modulo the number of replicas.
	Pick func(n int, r *http.Request) int

	requests atomic.Int64
}

func (b *Balancer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	n := int(b.requests.Add(1) - 1)
	i := -1
	switch {
	case b.Pick != nil:
		i = b.Pick(n, r)
	case len(b.Replicas) > 0:
		i = n % len(b.Replicas)
	}
	if i < 0 || i >= len(b.Replicas) {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	b.Replicas[i].ServeHTTP(rw, r)
}

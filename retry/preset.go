package retry

import "time"

// never makes every failure final.
var never = Schedule{Attempts: -1}

// Default returns the policy for feeds that are read indefinitely. It has jitter and no limit of
// total time or attempts, and stops only after the failures that the package documentation lists as
// final. Unlike a browser, it retries 408, 409, 421, 425, 429 and 5xx.
func Default() Policy {
	return Policy{
		Reconnect:      Schedule{Initial: time.Second, Factor: 1, Max: time.Second},
		Network:        Schedule{Initial: 500 * time.Millisecond, Factor: 2, Max: 30 * time.Second},
		Server:         Schedule{Initial: time.Second, Factor: 2, Max: time.Minute},
		RateLimited:    Schedule{Initial: 5 * time.Second, Factor: 2, Max: 15 * time.Minute, Jitter: 0.2},
		Auth:           Schedule{Initial: 5 * time.Second, Factor: 2, Max: 5 * time.Minute, Attempts: -1},
		Protocol:       Schedule{Initial: time.Second, Factor: 2, Max: time.Minute, Attempts: 3},
		TokenRejected:  Schedule{Initial: time.Second, Factor: 2, Max: 30 * time.Second},
		Healthy:        10 * time.Second,
		MaxRetryAfter:  15 * time.Minute,
		MaxServerDelay: 5 * time.Minute,
	}
}

// Browser returns the policy of an EventSource: after a network error or the end of a connection,
// it waits for 3 s or the time in the server's retry field, and any status except 200 ends it.
// Delays are neither random nor growing: a server that sends retry: 0 and closes each connection
// gets 100 connections a second, because [MinDelay] applies. A retry field of more than a day
// counts as a day.
// (https://html.spec.whatwg.org/multipage/server-sent-events.html)
func Browser() Policy {
	reconnect := Schedule{Initial: 3 * time.Second, Factor: 1, Jitter: -1}
	return Policy{
		Reconnect: reconnect, Network: reconnect,
		Server: never, RateLimited: never, Auth: never, Protocol: never, TokenRejected: never,
		MaxServerDelay: 24 * time.Hour,
	}
}

// X returns a policy that follows the streaming rules of X. It reconnects at once after an
// established stream. Delays then grow in steps of 250 ms up to 16 s for network errors, from 5 s
// doubled up to 320 s for HTTP errors, and from 1 min doubled up to 16 min for 420 and 429, because
// each of these in a row lengthens the penalty. 401 and 403 are retried three times. 404, 406, 413
// and 416 are final, or HTTP errors like any other once the stream has made progress. Up to a tenth
// is added at random, so that many clients do not reconnect at the same time.
// (https://docs.x.com/x-api/fundamentals/handling-disconnections)
func X() Policy {
	const step = 250 * time.Millisecond
	http := Schedule{Initial: 5 * time.Second, Factor: 2, Max: 320 * time.Second, Jitter: 0.1}
	auth, protocol := http, http
	auth.Attempts, protocol.Attempts = 3, 3
	return Policy{
		Reconnect:     Schedule{Initial: MinDelay, Factor: 1, Jitter: -1},
		Network:       Schedule{Initial: step, Step: step, Max: 16 * time.Second, Jitter: 0.1},
		Server:        http,
		RateLimited:   Schedule{Initial: time.Minute, Factor: 2, Max: 16 * time.Minute, Jitter: 0.1},
		Auth:          auth,
		Protocol:      protocol,
		MaxRetryAfter: 16 * time.Minute,
		Classify:      forbiddenIsAuth,
	}
}

// forbiddenIsAuth is a Policy.Classify that makes 403 an Auth failure.
func forbiddenIsAuth(err error, _ int) (Class, bool) {
	return ClassAuth, statusCode(err) == 403
}

// Kubernetes returns the policy of the watches of client-go: delays from 0.8 s doubled up to 30 s,
// plus a random part of up to the same length; a connection of 2 min counts as progress. A watch
// that reached its timeout reconnects within 0.8 s.
// (https://github.com/kubernetes/client-go/blob/master/tools/cache/reflector.go)
func Kubernetes() Policy {
	const initial = 800 * time.Millisecond
	watch := Schedule{Initial: initial, Factor: 2, Max: 30 * time.Second, Jitter: 1}
	return Policy{
		Reconnect:     Schedule{Initial: initial, Factor: 1},
		Network:       watch,
		Server:        watch,
		RateLimited:   watch,
		TokenRejected: watch,
		Healthy:       2 * time.Minute,
	}
}

// Never returns a policy that stops at the first failure and at the first end of a connection.
func Never() Policy {
	return Policy{
		Reconnect: never, Network: never, Server: never, RateLimited: never,
		Auth: never, Protocol: never, TokenRejected: never,
	}
}

package retry

import "time"

// never answers no failure with another attempt.
var never = Schedule{Attempts: -1}

// Default is for feeds that are read without an end: it goes on without a limit of time
// or attempts, with jitter, and stops only at what no later attempt can mend.
// Unlike a browser it retries 408, 409, 421, 425, 429 and 5xx.
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

// Browser is what an EventSource does: after a network error or the end of a connection
// it waits for a constant 3 s, or for what the server's retry field says, and any status
// but 200 ends it. Nothing is random and nothing grows: a server that says retry: 0 and
// closes each connection has it come back 100 times a second, because [MinDelay] applies.
// A retry field of more than a day counts as a day.
// (https://html.spec.whatwg.org/multipage/server-sent-events.html)
func Browser() Policy {
	reconnect := Schedule{Initial: 3 * time.Second, Factor: 1, Jitter: -1}
	return Policy{
		Reconnect: reconnect, Network: reconnect,
		Server: never, RateLimited: never, Auth: never, Protocol: never, TokenRejected: never,
		MaxServerDelay: 24 * time.Hour,
	}
}

// X follows the streaming rules of X: back at once after an established stream, then
// network errors in steps of 250 ms to 16 s, HTTP errors from 5 s doubled to 320 s, and
// 420 and 429 from 1 min doubled to 16 min, since each of them in a row lengthens the
// penalty. 401 and 403 get three more tries; 404, 406, 413 and 416 stop at once, or once
// the stream has worked, are HTTP errors like any other.
// A tenth is added at random, so that many clients do not come back together.
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

// forbiddenIsAuth makes 403 an Auth failure.
func forbiddenIsAuth(err error, _ int) (Class, bool) {
	return Auth, statusCode(err) == 403
}

// Kubernetes is how its own clients watch: 0.8 s doubled to 30 s and up to as much again
// at random, from the start again after 2 min; a watch that ran into its timeout is
// taken up again within 0.8 s.
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

// Never stops at the first failure and at the first end of a connection.
func Never() Policy {
	return Policy{
		Reconnect: never, Network: never, Server: never, RateLimited: never,
		Auth: never, Protocol: never, TokenRejected: never,
	}
}

package retry_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// xPolicy follows the streaming rules of X
// (https://docs.x.com/x-api/fundamentals/handling-disconnections): it reconnects at once, and then
// backs off slower after HTTP errors than after network errors, and slowest after 420 and 429. X asks
// for steps of 250 ms after network errors; doubling waits at least as long.
func xPolicy() retry.Policy {
	http := retry.Rule{Base: 5 * time.Second, Cap: 320 * time.Second}
	auth := http
	auth.MaxAttempts = 4
	return retry.Policy{
		Reconnect: retry.MinDelay,
		Base:      250 * time.Millisecond,
		Cap:       16 * time.Second,
		Jitter:    0.1,
		Classes: map[retry.Class]retry.Rule{
			retry.ClassServer:      http,
			retry.ClassProtocol:    http,
			retry.ClassAuth:        auth,
			retry.ClassRateLimited: {Base: time.Minute, Cap: 16 * time.Minute},
		},
		MaxServerDelay: 16 * time.Minute,
		Classify:       forbiddenIsAuth,
	}
}

// forbiddenIsAuth retries 403 like 401.
func forbiddenIsAuth(err error, _ int) (retry.Class, bool) {
	var s interface{ StatusCode() int }
	return retry.ClassAuth, errors.As(err, &s) && s.StatusCode() == 403
}

// The streaming rules of X.
func ExamplePolicy_x() {
	policy := xPolicy()
	policy.Jitter = -1 // exact delays for the example
	backoff := policy.Start()
	for range 3 {
		fmt.Println(backoff.Next(retry.Failure{Err: busy{}}).Delay)
	}
	// Output:
	// 5s
	// 10s
	// 20s
}

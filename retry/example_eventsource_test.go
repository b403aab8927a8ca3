package retry_test

import (
	"fmt"
	"io"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// eventSource behaves like the EventSource of a browser
// (https://html.spec.whatwg.org/multipage/server-sent-events.html): it waits for 3 s or the time in
// the server's retry field, and any status except 200 ends it. The delays are not random and do not
// grow, so a server that sends retry: 0 and closes each connection gets 100 connections a second.
func eventSource() retry.Policy {
	policy := retry.Constant(3 * time.Second)
	policy.MaxServerDelay = 24 * time.Hour
	final := retry.Rule{MaxAttempts: 1}
	policy.Classes = map[retry.Class]retry.Rule{
		retry.ClassServer:        final,
		retry.ClassRateLimited:   final,
		retry.ClassProtocol:      final,
		retry.ClassTokenRejected: final,
	}
	return policy
}

// The rules of a browser's EventSource.
func ExamplePolicy_eventSource() {
	backoff := eventSource().Start()
	fmt.Println(backoff.Next(retry.Failure{Err: io.EOF}).Delay)
	fmt.Println(backoff.Next(retry.Failure{Err: io.EOF, ServerDelay: time.Second}).Delay)
	fmt.Println(backoff.Next(retry.Failure{Err: busy{}}).Stop) // 503
	// Output:
	// 3s
	// 1s
	// true
}

package retry_test

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// Prices lose their value within seconds: retry faster than by default, and stop after a minute
// without a connection.
func Example() {
	policy := retry.Policy{
		Base:       100 * time.Millisecond,
		Cap:        time.Second,
		MaxElapsed: time.Minute,
		Jitter:     -1, // exact delays for the example; omit it
	}
	if err := policy.Validate(); err != nil {
		fmt.Println(err)
		return
	}

	backoff := policy.Start()
	for range 6 {
		d := backoff.Next(retry.Failure{Err: io.ErrUnexpectedEOF})
		fmt.Println(d.Attempt, d.Class, d.Delay)
	}
	// Output:
	// 1 network 100ms
	// 2 network 200ms
	// 3 network 400ms
	// 4 network 800ms
	// 5 network 1s
	// 6 network 1s
}

// A busy is an error of another library. Its methods determine its class; package retry does not
// know its type.
type busy struct{ wait time.Duration }

func (b busy) Error() string             { return "busy" }
func (b busy) StatusCode() int           { return 503 }
func (b busy) RetryAfter() time.Duration { return b.wait }

func ExampleClassify() {
	fmt.Println(retry.Classify(io.EOF))
	fmt.Println(retry.Classify(busy{time.Minute}))
	fmt.Println(retry.Classify(fmt.Errorf("open: %w", errors.Join(io.EOF, busy{}))))
	// Output:
	// network
	// server
	// server
}

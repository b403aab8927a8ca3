package retry_test

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// A feed of prices is worth nothing when it is old: come back sooner than by default, and
// give up after a minute without any. Everything else stays as it is.
func Example() {
	policy := retry.Policy{
		Network: retry.Schedule{
			Initial: 100 * time.Millisecond,
			Max:     time.Second,
			Jitter:  -1, // to show exact numbers here; better leave it on
		},
		MaxElapsed: time.Minute,
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

// A busy is an error of some client library. It says what to do about it by its
// methods, and no package has to know its type.
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

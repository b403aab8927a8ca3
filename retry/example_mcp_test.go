package retry_test

import (
	"fmt"
	"io"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

// The delay that an MCP server names in its retry field, and at most 100 ms more.
func ExampleMCP() {
	backoff := retry.MCP().Start()
	closed := retry.Failure{Err: io.EOF, ServerDelay: 500 * time.Millisecond}
	for range 3 {
		d := backoff.Next(closed).Delay
		fmt.Println(d >= 450*time.Millisecond, d <= 700*time.Millisecond)
	}
	// Output:
	// true true
	// true true
	// true true
}

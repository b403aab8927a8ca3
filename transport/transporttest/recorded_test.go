package transporttest_test

import (
	"io"
	"testing"

	"github.com/steadfeed/steadfeed/mock/record"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/transporttest"
)

// A recorded transport keeps the contract.
func TestRecordedTransportKeepsTheContract(t *testing.T) {
	for name, start := range map[string]transporttest.Start{
		"HTTP":      startHTTP(wires["SSE"], "http"),
		"WebSocket": startSocket("ws", true),
		"Feed":      startFeed,
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.RunInBubble(t, func(t testing.TB, s transporttest.Script) transport.Transport {
				inner := start(t, s)
				if inner == nil {
					return nil
				}
				return record.Transport(inner, io.Discard, nil)
			})
		})
	}
}

package mock

import (
	"bytes"
	"context"
	"time"

	"github.com/steadfeed/steadfeed/mock/internal/wait"
)

// pieces is the maximum number of writes for a step that is sent slowly.
const pieces = 256

// transmit passes b, the wire form of the step, to write: whole or in part, at once or slowly.
// It returns the error of write or the cause of ctx.
func (s Step) transmit(ctx context.Context, b []byte, write func([]byte) error) error {
	if s.part {
		b = s.partOf(b)
	}
	if s.slow <= 0 {
		return write(b)
	}
	end := time.Now().Add(s.slow)
	n := min(max(len(b), 1), pieces)
	for i := range n {
		wait.Until(ctx, end.Add(-s.slow/time.Duration(n)*time.Duration(n-1-i)), nil)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := write(b[len(b)*i/n : len(b)*(i+1)/n]); err != nil {
			return err
		}
	}
	return nil
}

// partOf returns the beginning of a frame. It always omits the last byte that is not a line
// end: a decoder that does not need the line ends would take the frame for whole.
func (s Step) partOf(b []byte) []byte {
	n := s.kept
	if n < 0 {
		n += len(b)
	}
	most := len(bytes.TrimRight(b, "\r\n")) - 1
	return b[:max(0, min(n, most))]
}

package mock

import (
	"bytes"
	"context"
	"time"
)

// pieces is in how many a step's bytes come if they come slowly.
const pieces = 256

// transmit hands b, which is all of the step on a wire, to write as the step wants it: in
// part, and little by little. It returns the error of write or the end of ctx.
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
		pause(ctx, nil, end.Add(-s.slow/time.Duration(n)*time.Duration(n-1-i)))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := write(b[len(b)*i/n : len(b)*(i+1)/n]); err != nil {
			return err
		}
	}
	return nil
}

// partOf returns the beginning of a frame, without the last byte of what is not line ends:
// where these are not counted, the frame would be whole without them.
func (s Step) partOf(b []byte) []byte {
	n := s.kept
	if n < 0 {
		n += len(b)
	}
	most := len(bytes.TrimRight(b, "\r\n")) - 1
	return b[:max(0, min(n, most))]
}

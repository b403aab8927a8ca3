package decode

import (
	"errors"
	"fmt"
	"io"
)

// ErrTooLarge is the Err of a FrameError for a frame of more bytes than allowed.
var ErrTooLarge = errors.New("frame is larger than MaxFrame")

// A FrameError reports what is wrong with the bytes of a stream, and where.
type FrameError struct {
	Format string // the framing, such as "SSE"
	Offset int64  // of the frame's first byte in the stream, after decompression
	Limit  int    // MaxFrame in bytes, with ErrTooLarge
	Resync bool   // the stream can be read after the frame
	// Err is ErrTooLarge, io.ErrUnexpectedEOF if the stream ends inside a frame, or a description
	// of what is malformed.
	Err error
}

func (e *FrameError) Error() string {
	if errors.Is(e.Err, ErrTooLarge) {
		return fmt.Sprintf("decode: %s: frame at byte %d is larger than MaxFrame (%d bytes)", e.Format, e.Offset, e.Limit)
	}
	return fmt.Sprintf("decode: %s: frame at byte %d: %v", e.Format, e.Offset, e.Err)
}

func (e *FrameError) Unwrap() error { return e.Err }

// Retryable reports whether reading the stream again can succeed. It returns false if a frame is too
// large, because a feed that resumes sends it again.
func (e *FrameError) Retryable() bool { return !errors.Is(e.Err, ErrTooLarge) }

// Protocol reports whether the sender violates the framing. It returns false if the stream ends
// inside a frame, because connections break.
func (e *FrameError) Protocol() bool {
	return !errors.Is(e.Err, ErrTooLarge) && !errors.Is(e.Err, io.ErrUnexpectedEOF)
}

// tooLarge returns the error of a frame over the limit. Every framing in this package can find the
// frame after it.
func tooLarge(format string, limit int) *FrameError {
	return &FrameError{Format: format, Limit: limit, Resync: true, Err: ErrTooLarge}
}

// cutOff returns the error of a stream that ends inside a frame.
func cutOff(format string) *FrameError {
	return &FrameError{Format: format, Err: io.ErrUnexpectedEOF}
}

// at adds n to the offset of a FrameError.
func at(n int, err error) error {
	if fe, ok := err.(*FrameError); ok {
		fe.Offset += int64(n)
	}
	return err
}

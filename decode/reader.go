package decode

import (
	"io"
	"iter"
	"math"
)

// DefaultMaxFrame is the largest frame that a Reader accepts by default, 16 MiB.
const DefaultMaxFrame = 16 << 20

// A Reader reads frames from a byte stream. It is used from one goroutine.
//
// Unless Borrow is set, the memory of a frame is carved from a slab that is never used
// again: a frame may be kept for ever, though one small frame that is kept holds its slab
// of up to 64 KiB, or that of a larger frame just before it.
type Reader struct {
	// OnBadFrame is told of each frame that is malformed or larger than allowed, where
	// the framing says how to go on (FrameError.Resync); Next then returns the frame behind
	// it. It is called from Next and Buffered. Set it before the first of those.
	// Default: the first bad frame is the error of Next, and final.
	OnBadFrame func(*FrameError)

	// Borrow lends the memory of a frame instead of giving it away: Frame.Data is valid
	// until the next call of Next, or the next round of Frames, and the same memory is
	// used for all frames. It is for a loop that is done with each frame before the next.
	// Default: a frame's Data is the receiver's own.
	Borrow bool

	src   io.Reader
	split filler

	slab       []byte
	start, end int   // of the bytes in slab that are not consumed
	lent       bool  // a frame has memory in slab
	size       int   // of the next slab
	offset     int64 // of start in the stream
	empty      int   // reads in a row that brought nothing
	srcErr     error // from src, to be reported once its bytes are used up

	frame Frame // where the next frame is made
	ahead bool  // Buffered has read it
	err   error // final
}

const (
	minSlab = 4 << 10
	maxSlab = 64 << 10
	minRead = 512 // less room than this is not worth a read

	maxEmpty = 100 // after so many reads without a byte or an error, src is broken
)

// NewReader returns a Reader of the frames in r, of at most maxFrame bytes each: 0 means
// DefaultMaxFrame, negative no limit. It reads from r as Next needs it, and never waits
// to fill a buffer.
func NewReader(r io.Reader, f Format, maxFrame int) *Reader {
	switch {
	case maxFrame == 0:
		maxFrame = DefaultMaxFrame
	case maxFrame < 0:
		maxFrame = math.MaxInt
	}
	return &Reader{src: r, split: newFiller(f.NewSplitter(maxFrame)), size: minSlab}
}

// Next returns the next frame of any kind. At the end of the stream it returns io.EOF;
// a stream that ends inside a frame, or breaks the framing, is a *FrameError; any other
// error is the stream's own. An error is final.
func (r *Reader) Next() (Frame, error) {
	if err := r.next(); err != nil {
		return Frame{}, err
	}
	return r.frame, nil
}

// NextTo is Next for a loop over very many small frames: it writes the frame to f, which
// it leaves as it is when it returns an error.
func (r *Reader) NextTo(f *Frame) error {
	if err := r.next(); err != nil {
		return err
	}
	// Field by field: a processor waits when it loads, in the large pieces that copying a
	// struct takes, what it has only just stored in small ones.
	f.Data, f.Type, f.ID = r.frame.Data, r.frame.Type, r.frame.ID
	f.Delay, f.Kind, f.Truncated = r.frame.Delay, r.frame.Kind, r.frame.Truncated
	return nil
}

// next brings the next frame to r.frame.
func (r *Reader) next() error {
	for !r.ahead && !r.cut() {
		if r.err != nil {
			return r.err
		}
		r.read()
	}
	r.ahead = false
	return nil
}

// Buffered reports whether Next returns without reading from the stream.
func (r *Reader) Buffered() bool {
	r.ahead = r.ahead || r.cut()
	return r.ahead || r.err != nil
}

// Frames returns the events of the stream, the frames of Kind Data. The end of the stream
// ends the loop; an error is its last element.
func (r *Reader) Frames() iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		for {
			switch err := r.next(); {
			case err == io.EOF:
				return
			case err != nil:
				yield(Frame{}, err)
				return
			case r.frame.Kind == Data && !yield(r.frame, nil):
				return
			}
		}
	}
}

// cut takes the next frame from what was read. Without one, and without an error, more
// has to be read.
func (r *Reader) cut() bool {
	r.frame = Frame{}
	for r.err == nil {
		n, ok, err := r.split.fill(&r.frame, r.slab[r.start:r.end:r.end], r.srcErr == io.EOF)
		at := r.offset
		r.start += n
		r.offset += int64(n)
		switch {
		case err != nil:
			r.fail(at, err)
		case ok:
			r.lent = r.lent || len(r.frame.Data) > 0
			return true
		case n == 0 && r.srcErr != nil:
			r.err = r.srcErr
		case n == 0:
			return false
		}
	}
	return false
}

// fail ends the stream with err, unless a bad frame is to be passed over.
func (r *Reader) fail(at int64, err error) {
	bad, ok := err.(*FrameError)
	if ok {
		bad.Offset += at
	}
	if ok && bad.Resync && r.OnBadFrame != nil {
		r.OnBadFrame(bad)
		return
	}
	r.err = err
}

// read reads once, behind what is there. A frame that crosses the end of a slab moves to
// the next one, which is at least twice the frame's size: so a large frame is copied a
// constant number of times for each of its bytes.
func (r *Reader) read() {
	if len(r.slab)-r.end < minRead || r.outgrown() || r.start > 0 && r.Borrow {
		r.makeRoom()
	}
	room := r.slab[r.end:]
	room = room[:min(len(room), maxSlab)] // or many small frames would share a large slab
	n, err := r.src.Read(room)
	if n == len(room) {
		r.size = min(2*r.size, maxSlab)
	}
	r.end += n
	r.srcErr = err
	if r.empty++; n > 0 || err != nil {
		r.empty = 0
	}
	if r.empty == maxEmpty {
		r.srcErr = io.ErrNoProgress
	}
}

func (r *Reader) makeRoom() {
	partial := r.slab[r.start:r.end]
	need := max(r.size, 2*len(partial)+minRead)
	if r.lent && !r.Borrow || len(r.slab) < need || r.outgrown() {
		r.slab, r.lent = make([]byte, need), false
	}
	r.start, r.end = 0, copy(r.slab, partial)
}

// outgrown tells whether the slab is one for a large frame, which has gone.
func (r *Reader) outgrown() bool {
	return len(r.slab) > maxSlab && 2*(r.end-r.start)+minRead <= maxSlab
}

// A filler is a Splitter that makes the frame where it is wanted. A Frame is so large
// that handing it from function to function costs more than to split a line.
type filler interface {
	fill(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error)
}

func newFiller(s Splitter) filler {
	if f, ok := s.(filler); ok {
		return f
	}
	return copier{s}
}

type copier struct{ Splitter }

func (c copier) fill(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	n, *f, ok, err = c.Split(buf, atEOF)
	return n, ok, err
}

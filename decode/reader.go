package decode

import (
	"io"
	"iter"
	"math"
)

// DefaultMaxFrame is the default limit of a Reader for the size of a frame, 16 MiB.
const DefaultMaxFrame = 16 << 20

// A Reader reads frames from a byte stream. It must be used from one goroutine. Set its fields before
// the first call of a method.
//
// Unless Borrow is set, the memory of a frame is never reused. A frame may be kept permanently, but
// frames share slabs, and one that is kept may keep a slab of up to 64 KiB in memory.
type Reader struct {
	// MaxFrame is the maximum size of a frame in bytes. If negative, there is no limit.
	// Default: DefaultMaxFrame.
	MaxFrame int

	// OnBadFrame is called with each frame that is malformed or larger than MaxFrame, if the stream
	// can be read after it (FrameError.Resync); Next then returns the frame after it. It is called
	// from Next, Frames and Buffered.
	// Default: none; the first bad frame is the error of Next, and final.
	OnBadFrame func(*FrameError)

	// Borrow reuses the same memory for all frames: Frame.Data is valid only until the next call of
	// Next or the next iteration of Frames. Use it if each frame is handled before the next one is
	// read. Default: false; Data belongs to the receiver.
	Borrow bool

	src    io.Reader
	format Format
	split  Splitter // nil before the first call

	slab       []byte
	start, end int   // of the unconsumed bytes in slab
	lent       bool  // a frame has memory in slab
	private    bool  // frames are copied out of slab
	last       int   // size of the last frame
	size       int   // of the next slab
	filled     bool  // a read has filled the slab
	offset     int64 // of start in the stream
	empty      int   // reads in a row without a byte or an error
	srcErr     error // from src, reported after all its bytes

	frame Frame // the next frame
	ahead bool  // Buffered has already cut it
	err   error // final
}

const (
	minSlab    = 512
	maxSlab    = 64 << 10
	largeFrame = 16 << 10  // frames from this size on are put together in a private slab
	maxPrivate = 256 << 10 // a larger private slab is released after the frame that needed it

	minRead = 512 // minimum free space for a read, except in a smaller slab

	maxEmpty = 100 // after so many reads without a byte or an error, src is broken
)

// NewReader returns a Reader of the frames in r. It reads from r only when it needs more bytes, and
// never waits to fill a buffer.
func NewReader(r io.Reader, f Format) *Reader {
	return &Reader{src: r, format: f, size: minSlab}
}

// Next sets f to the next frame of any kind. At the end of the stream it returns io.EOF. If the
// stream ends inside a frame or violates the framing, the error is a *FrameError; any other error is
// that of the stream. An error is final, and leaves f unchanged.
func (r *Reader) Next(f *Frame) error {
	if err := r.next(); err != nil {
		return err
	}
	// Copy field by field: copying the struct would load, in large pieces, what was just stored in
	// small ones, which stalls a processor.
	f.Data, f.Type, f.ID = r.frame.Data, r.frame.Type, r.frame.ID
	f.Delay, f.Kind, f.Truncated = r.frame.Delay, r.frame.Kind, r.frame.Truncated
	return nil
}

// next sets r.frame to the next frame.
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

// Frames returns the events of the stream, which are the frames of KindData. The end of the stream
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
			case r.frame.Kind == KindData && !yield(r.frame, nil):
				return
			}
		}
	}
}

// cut sets r.frame to the next frame in the bytes read, and reports whether there is one. If there
// is none and r.err is nil, more bytes must be read.
func (r *Reader) cut() bool {
	if r.split == nil {
		r.split = r.format.NewSplitter(maxFrame(r.MaxFrame))
	}
	r.frame = Frame{}
	for r.err == nil {
		n, ok, err := r.split.Split(&r.frame, r.slab[r.start:r.end:r.end], r.srcErr == io.EOF)
		at := r.offset
		r.start += n
		r.offset += int64(n)
		switch {
		case err != nil:
			r.fail(at, err)
		case ok:
			if len(r.frame.Data) > 0 {
				r.handOut()
			}
			return true
		case n == 0 && r.srcErr != nil:
			r.err = r.srcErr
		case n == 0:
			return false
		}
	}
	return false
}

// fail ends the stream with err, unless err is a bad frame that OnBadFrame handles.
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

// handOut gives the memory of r.frame to its receiver. append, unlike make, does not clear what it
// fills.
func (r *Reader) handOut() {
	r.last = len(r.frame.Data)
	if r.private {
		r.frame.Data = append([]byte(nil), r.frame.Data...)[:r.last:r.last]
	} else {
		r.lent = true
	}
}

// read reads once, after the unconsumed bytes.
func (r *Reader) read() {
	if len(r.slab)-r.end < min(minRead, len(r.slab)/2+1) || r.outgrown() || r.start > 0 && (r.Borrow || r.private) {
		r.makeRoom()
	}
	room := r.slab[r.end:]
	room = room[:min(len(room), maxSlab)] // otherwise many small frames would share a large slab
	n, err := r.src.Read(room)
	if n == len(room) {
		r.size, r.filled = min(2*r.size, maxSlab), true
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

// makeRoom moves the unconsumed bytes, a part of a frame, to the start of a slab with room for
// more. Small frames keep their place in the slab, and a new one follows it. Large frames are put
// together in a private slab, which stays in the processor's cache, and are copied once to memory
// of their size. That slab doubles, so that each byte moves a constant number of times before.
func (r *Reader) makeRoom() {
	partial := r.slab[r.start:r.end]
	if r.lent && !r.filled {
		r.size = max(r.size/2, minSlab) // the stream is slow
	}
	r.private = !r.Borrow && max(r.last, len(partial)) >= largeFrame
	need := max(r.size, len(partial)+minRead)
	if need > len(r.slab) {
		need = max(need, 2*len(partial))
	}
	if r.lent && !r.Borrow || len(r.slab) < need || r.outgrown() {
		r.slab, r.lent, r.filled = make([]byte, need), false, false
	}
	r.start, r.end = 0, copy(r.slab, partial)
}

// outgrown reports whether the slab was made for a large frame that is no longer in it.
func (r *Reader) outgrown() bool {
	limit := maxSlab
	if r.private {
		limit = maxPrivate
	}
	return len(r.slab) > limit && 2*(r.end-r.start)+minRead <= maxSlab
}

// maxFrame returns the limit that Reader.MaxFrame means.
func maxFrame(limit int) int {
	switch {
	case limit == 0:
		return DefaultMaxFrame
	case limit < 0:
		return math.MaxInt
	}
	return limit
}

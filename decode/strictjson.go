package decode

import "errors"

var errNotJSON = errors.New("the payload is not JSON")

// StrictJSON returns a Format like f that validates payloads as JSON. Instead of a frame, an invalid
// payload is a FrameError, which [Reader.OnBadFrame] can skip. Its Offset is that of the payload, or
// of the frame if the payload is not contiguous in the stream. Use StrictJSON to find out which
// lines of a file or a feed are malformed; it reads each payload once more.
func StrictJSON(f Format) Format { return strictJSON{f} }

type strictJSON struct{ Format }

func (f strictJSON) NewSplitter(maxFrame int) Splitter {
	return &strictSplitter{f.Format.NewSplitter(maxFrame)}
}

type strictSplitter struct{ Splitter }

func (s *strictSplitter) Split(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	n, ok, err = s.Splitter.Split(f, buf, atEOF)
	if !ok || f.Kind != KindData || valid(f.Data) {
		return n, ok, err
	}
	from := place(buf[:n], f.Data)
	*f = Frame{}
	return n, false, at(from, &FrameError{Format: "StrictJSON", Resync: true, Err: errNotJSON})
}

// place returns the index in buf where the memory of data starts, or 0 if it is not in buf. It
// compares addresses, because equal bytes may occur earlier.
func place(buf, data []byte) int {
	for i := range buf {
		if len(data) > 0 && &buf[i] == &data[0] {
			return i
		}
	}
	return 0
}

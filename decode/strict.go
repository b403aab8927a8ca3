package decode

// StrictJSON returns f for payloads that are all JSON: one that is not valid is a FrameError
// that [Reader.OnBadFrame] can pass over, instead of a frame. Its Offset is that of the
// payload, or of the frame if the payload does not stand there in one piece. It is for
// whoever wants to be told which lines of a file or a feed are broken; each payload is
// looked at once more for it.
func StrictJSON(f Format) Format { return strictJSON{f} }

type strictJSON struct{ Format }

func (f strictJSON) NewSplitter(maxFrame int) Splitter {
	return &strictSplitter{newFiller(f.Format.NewSplitter(maxFrame))}
}

type strictSplitter struct{ filler }

func (s *strictSplitter) Split(buf []byte, atEOF bool) (n int, f Frame, ok bool, err error) {
	n, ok, err = s.fill(&f, buf, atEOF)
	return n, f, ok, err
}

func (s *strictSplitter) fill(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	n, ok, err = s.filler.fill(f, buf, atEOF)
	if !ok || f.Kind != Data || valid(f.Data) {
		return n, ok, err
	}
	from := place(buf[:n], f.Data)
	*f = Frame{}
	return n, false, at(from, &FrameError{Format: "StrictJSON", Resync: true, Err: errInvalid})
}

// place returns where in buf the memory of data begins, and 0 if it is not there. To search
// for the bytes could find others that are the same.
func place(buf, data []byte) int {
	for i := range buf {
		if len(data) > 0 && &buf[i] == &data[0] {
			return i
		}
	}
	return 0
}

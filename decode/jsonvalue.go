package decode

import "fmt"

// jsonValue cuts a JSON value.
type jsonValue struct {
	format   string
	limit    int
	scan     valueScanner
	looked   int  // bytes of the value that have been scanned
	skipping bool // in a value over the limit, up to its end
	dropped  int  // while skipping: bytes of the value consumed
}

// cut sets f to the value at the start of buf. A value over the limit that has ended is consumed
// without a frame. While scan.begun, the value has not ended.
func (v *jsonValue) cut(f *Frame, buf []byte) (n int, ok bool, err error) {
	window := buf
	if !v.skipping && len(buf) > v.limit {
		window = buf[:v.limit+1] // longer than that, the value is too large
	}
	end, done, err := v.scan.next(window, v.looked)
	switch {
	case err != nil:
		return 0, false, v.invalid(err, end)
	case v.skipping:
		v.skipping = !done
		v.dropped += end
		return end, false, nil
	case end > v.limit:
		v.looked, v.skipping, v.dropped = 0, !done, end
		return end, false, tooLarge(v.format, v.limit)
	case !done:
		v.looked = end
		return 0, false, nil
	}
	v.looked = 0
	f.Data = buf[:end:end]
	return end, true, nil
}

// invalid returns an error about the byte at index i.
func (v *jsonValue) invalid(err error, i int) *FrameError {
	if v.skipping {
		i += v.dropped
	}
	if i > 0 {
		err = fmt.Errorf("%w at byte %d of the value", err, i)
	}
	return v.failed(err)
}

// failed returns an error about the value, of which a part may have been consumed.
func (v *jsonValue) failed(err error) *FrameError {
	fe := &FrameError{Format: v.format, Err: err}
	if v.skipping {
		fe.Offset = -int64(v.dropped)
	}
	return fe
}

// reset drops a value that has not ended.
func (v *jsonValue) reset() {
	v.scan.reset()
	v.looked, v.skipping = 0, false
}

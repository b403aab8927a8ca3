// Package wsframe follows the frames in a byte stream of a WebSocket.
package wsframe

// The first bytes of a frame (RFC 6455, section 5.2).
const (
	FinBit  = 0x80
	MaskBit = 0x80
	OpClose = 8 // and above: control frames

	HeaderSize = 2 // without an extended length and a mask
	MaskSize   = 4
	CodeSize   = 2 // of a close frame's payload
)

const (
	rsv1Bit        = 0x40
	opMask         = 0x0f
	opContinuation = 0
	length16       = 126
	length64       = 127
)

// A Follower counts the messages in a stream of frames. It copies headers and skips each piece of
// a payload in one step. The zero value is ready to use.
type Follower struct {
	Messages   uint64 // messages that have ended
	Fragmented uint64 // number of the last message that is fragmented or compressed, from 1
	Length     uint64 // payload of the latest frame
	Closing    []byte // payload of the close frame, as far as it has arrived
	Closed     bool   // the close frame is complete
	Masked     bool   // the latest frame is masked; Next stops after its header

	header  [HeaderSize + 8]byte
	have    int    // bytes of the header so far
	payload bool   // the header is complete
	left    uint64 // of the payload, still to come
}

// Next follows p to the end of a message. It returns how many bytes it used and whether a message
// ended. It stops after the header of a masked frame.
func (f *Follower) Next(p []byte) (n int, whole bool) {
	for n < len(p) {
		if !f.payload {
			n += f.head(p[n:])
			if !f.payload || f.Masked {
				return n, false
			}
		}
		skip := int(min(f.left, uint64(len(p)-n)))
		if f.opcode() == OpClose && !f.Closed {
			f.Closing = append(f.Closing, p[n:n+skip]...)
		}
		n += skip
		if f.left -= uint64(skip); f.left == 0 && f.end() {
			return n, true
		}
	}
	return n, false
}

func (f *Follower) opcode() byte { return f.header[0] & opMask }

// head takes header bytes from p, and starts the payload after a complete header.
func (f *Follower) head(p []byte) (n int) {
	if f.have < HeaderSize {
		n = copy(f.header[f.have:HeaderSize], p)
		if f.have += n; f.have < HeaderSize {
			return n
		}
	}
	size := HeaderSize
	switch f.header[1] &^ MaskBit {
	case length16:
		size += 2
	case length64:
		size += 8
	}
	m := copy(f.header[f.have:size], p[n:])
	if f.have += m; f.have == size {
		f.begin(size)
	}
	return n + m
}

func (f *Follower) begin(size int) {
	f.have, f.payload = 0, true
	f.Masked = f.header[1]&MaskBit != 0
	f.Length = uint64(f.header[1])
	if size > HeaderSize {
		f.Length = 0
		for _, b := range f.header[HeaderSize:size] {
			f.Length = f.Length<<8 | uint64(b)
		}
	}
	f.left = f.Length
	if op := f.opcode(); op < OpClose && (op == opContinuation || f.header[0]&(FinBit|rsv1Bit) != FinBit) {
		f.Fragmented = f.Messages + 1
	}
}

// end records the end of a frame and reports whether it ends a message.
func (f *Follower) end() bool {
	f.payload = false
	f.Closed = f.Closed || f.opcode() == OpClose
	if f.opcode() >= OpClose || f.header[0]&FinBit == 0 {
		return false
	}
	f.Messages++
	return true
}

// Package wsframe parses the frames that a WebSocket server sends.
package wsframe

import "encoding/binary"

// The first bytes of a frame (RFC 6455, section 5.2).
const (
	FinBit  = 0x80
	MaskBit = 0x80

	OpContinuation = 0
	OpText         = 1
	OpBinary       = 2
	OpClose        = 8 // and above: control frames
	OpPing         = 9
	OpPong         = 10

	HeaderSize = 2 // without an extended length and a mask
	MaskSize   = 4
	CodeSize   = 2   // of a close frame's payload
	MaxControl = 125 // payload of a control frame

	rsv1Bit  = 0x40
	rsvBits  = 0x70
	opMask   = 0x0f
	length16 = 126
	length64 = 127
)

// A Header is that of one frame.
type Header struct {
	First  byte   // FIN, RSV1 to RSV3, opcode
	Masked bool   // for servers a violation, so Size does not include the mask
	Size   int    // of the header in bytes
	Length uint64 // of the payload in bytes
}

// Parse returns the header at the start of p. ok is false if p ends before the header does.
func Parse(p []byte) (h Header, ok bool) {
	if len(p) < HeaderSize {
		return h, false
	}
	h = Header{First: p[0], Masked: p[1]&MaskBit != 0, Size: HeaderSize, Length: uint64(p[1] &^ MaskBit)}
	switch h.Length {
	case length16:
		h.Size += 2
		if len(p) < h.Size {
			return h, false
		}
		h.Length = uint64(binary.BigEndian.Uint16(p[HeaderSize:]))
	case length64:
		h.Size += 8
		if len(p) < h.Size {
			return h, false
		}
		h.Length = binary.BigEndian.Uint64(p[HeaderSize:])
	}
	return h, true
}

// Op returns the opcode.
func (h Header) Op() byte { return h.First & opMask }

// Fin reports whether the frame is the last one of its message.
func (h Header) Fin() bool { return h.First&FinBit != 0 }

// Control reports whether the frame is a close, ping or pong frame.
func (h Header) Control() bool { return h.First&OpClose != 0 }

// Compressed reports whether the frame starts a compressed message (RFC 7692, section 6).
func (h Header) Compressed() bool { return h.First&rsv1Bit != 0 }

// A Violation is how a frame violates RFC 6455.
type Violation string

func (v Violation) Error() string { return string(v) }

const (
	errMasked       = Violation("server sent a masked frame (RFC 6455, section 5.1)")
	errReserved     = Violation("reserved bits are set (RFC 6455, section 5.2)")
	errOpcode       = Violation("unknown opcode (RFC 6455, section 5.2)")
	errLength       = Violation("length exceeds 63 bits (RFC 6455, section 5.2)")
	errContinuation = Violation("continuation without a message (RFC 6455, section 5.4)")
	errUnfinished   = Violation("new message inside a fragmented one (RFC 6455, section 5.4)")
	errFragmented   = Violation("fragmented control frame (RFC 6455, section 5.5)")
	errLongControl  = Violation("control frame of more than 125 bytes (RFC 6455, section 5.5)")
)

// Check returns a Violation, or nil. started reports whether a message has started
// and not ended. deflate reports whether permessage-deflate was negotiated.
func (h Header) Check(started, deflate bool) error {
	reserved := h.First & rsvBits
	if deflate && (h.Op() == OpText || h.Op() == OpBinary) {
		reserved &^= rsv1Bit
	}
	switch op := h.Op(); {
	case h.Masked:
		return errMasked
	case reserved != 0:
		return errReserved
	case op > OpPong || op > OpBinary && op < OpClose:
		return errOpcode
	case h.Control() && h.Length > MaxControl:
		return errLongControl
	case h.Control() && !h.Fin():
		return errFragmented
	case h.Control():
		return nil
	case h.Length > 1<<63-1:
		return errLength
	case started != (op == OpContinuation):
		if started {
			return errUnfinished
		}
		return errContinuation
	}
	return nil
}

// HasMessage reports whether p contains the end of a message, before any close frame. It expects
// a header at the start of p.
func HasMessage(p []byte) bool {
	for {
		h, ok := Parse(p)
		if !ok || h.Op() == OpClose || uint64(len(p)-h.Size) < h.Length {
			return false
		}
		if h.Fin() && !h.Control() {
			return !h.Masked
		}
		p = p[h.Size+int(h.Length):]
	}
}

package transport

import (
	"bytes"
	"testing"
)

// A part of another frame may look like the header of the echo, because it is masked at random.
func TestAnswerKeepsOtherFrames(t *testing.T) {
	w := &wire{socket: &WebSocket{}}
	closing := []byte("\x8c\x00\x00\x00\x95\xff\xff")
	w.closedWith.Store(&closing)
	written := append([]byte("\x88\x90\x01\x02\x03\x04\x02\xe8\x05"), "\x88\x87\x00\x00\x00\x00another"...)
	if got := w.answer(written); !bytes.Equal(got, written) {
		t.Errorf("got % x, want it unchanged: % x", got, written)
	}
}

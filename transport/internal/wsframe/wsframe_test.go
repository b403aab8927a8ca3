package wsframe

import (
	"strings"
	"testing"
)

func TestHasMessage(t *testing.T) {
	for _, c := range []struct {
		name, stream string
		want         bool
	}{
		{"nothing", "", false},
		{"half a header", "\x81", false},
		{"half a long header", "\x81\x7e\x01", false},
		{"message", "\x81\x02hi", true},
		{"empty message", "\x82\x00", true},
		{"message and a part", "\x81\x02hi\x81", true},
		{"half a message", "\x81\x02h", false},
		{"long message", "\x81\x7e\x01\x00" + strings.Repeat("x", 256), true},
		{"end of a fragmented message", "\x80\x02hi", true},
		{"its middle", "\x00\x02hi", false},
		{"fragments", "\x01\x01h\x89\x00\x80\x01i", true},
		{"ping", "\x89\x00", false},
		{"ping and a message", "\x89\x01x\x81\x00", true},
		{"close and a message", "\x88\x00\x81\x00", false},
		{"masked", "\x81\x80\x01\x02\x03\x04", false},
		{"length above 63 bits", "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", false},
	} {
		if got := HasMessage([]byte(c.stream)); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	const stream = "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x02rest"
	for n := range 10 {
		if h, ok := Parse([]byte(stream[:n])); ok {
			t.Errorf("%d bytes: got %+v, want no header", n, h)
		}
	}
	want := Header{First: 0x81, Size: 10, Length: 0x10002}
	if h, ok := Parse([]byte(stream)); !ok || h != want {
		t.Errorf("got %+v, %v, want %+v", h, ok, want)
	}
}

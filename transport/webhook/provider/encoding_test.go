package provider_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestHex reads texts of two digits, of which encoding/hex takes more: those of mixed case.
func TestHex(t *testing.T) {
	for i := range 1 << 16 {
		text := string([]byte{byte(i >> 8), byte(i)})
		want, err := hex.DecodeString(text)
		mixed := strings.ToLower(text) != text && strings.ToUpper(text) != text
		got, ok := provider.DecodeHex(text)
		if ok != (err == nil && !mixed) || ok && !bytes.Equal(got, want) {
			t.Errorf("%q is %x, %v; want %x, %v, mixed case %v", text, got, ok, want, err, mixed)
		}
	}
	for text, want := range map[string]bool{"": true, "0": false, "0a1": false, "0a1b": true, "0A1b": false, "aA": false, "A0B1": true} {
		if _, ok := provider.DecodeHex(text); ok != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
}

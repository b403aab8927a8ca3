package provider_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Unlike encoding/hex, mixed case is refused.
func TestDecodeHex(t *testing.T) {
	for i := range 1 << 16 {
		text := string([]byte{byte(i >> 8), byte(i)})
		want, err := hex.DecodeString(text)
		mixed := strings.ToLower(text) != text && strings.ToUpper(text) != text
		got, ok := provider.DecodeHex(text)
		if ok != (err == nil && !mixed) || ok && !bytes.Equal(got, want) {
			t.Errorf("%q: got %x, %t, want %x, %t", text, got, ok, want, err == nil && !mixed)
		}
	}
	for text, want := range map[string]bool{"": true, "0": false, "0a1": false, "0a1b": true, "0A1b": false, "aA": false, "A0B1": true} {
		if _, ok := provider.DecodeHex(text); ok != want {
			t.Errorf("%q: got %t, want %t", text, ok, want)
		}
	}
}

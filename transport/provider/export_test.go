package provider

var PublicOnly = publicOnly

// DecodeHex reads a signature in Hex.
func DecodeHex(text string) ([]byte, bool) {
	var raw [maxSignature]byte
	n, ok := Hex.decode(raw[:], text)
	return raw[:n], ok
}

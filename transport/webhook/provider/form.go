package provider

import (
	"errors"
	"fmt"
	"strings"
)

// form describes the secrets of a sender. It detects a credential of another kind, which can
// never verify a signature. Its errors do not quote a secret.
type form struct {
	prefix string   // of every secret; "": unknown
	others []string // prefixes of other credentials of the sender
	size   int      // of the key in bytes; 0: any
}

func (f *form) check(text string) error {
	for _, other := range f.others {
		if strings.HasPrefix(text, other) {
			return fmt.Errorf("begins with %q, which marks another credential of this sender: use the signing secret", other)
		}
	}
	if !strings.HasPrefix(text, f.prefix) {
		return fmt.Errorf("does not begin with %q, the prefix of this sender's signing secrets", f.prefix)
	}
	return nil
}

func (f *form) checkKey(raw []byte) error {
	if f.size != 0 && len(raw) != f.size {
		return fmt.Errorf("is a key of %d bytes, want %d", len(raw), f.size)
	}
	return nil
}

var errStandard = errors.New(`does not begin with "whsec_", "whpk_" or "whsk_": write "whsec_" and the Base64 of the key`)

package provider

var PublicOnly = publicOnly

// DecodeHex reads a signature in Hex.
func DecodeHex(text string) ([]byte, bool) {
	var raw [maxSignature]byte
	n, ok := Hex.decode(raw[:], text)
	return raw[:n], ok
}

// Occupy takes every slot for checks with public keys that p has, until leave is called.
func Occupy(p *Provider) (leave func()) {
	v, err := p.verifier()
	if err != nil {
		panic(err)
	}
	taken := slotsOf(v)
	for _, s := range taken {
		for range cap(s) {
			s <- struct{}{}
		}
	}
	return func() {
		for _, s := range taken {
			for range cap(s) {
				<-s
			}
		}
	}
}

func slotsOf(v verifier) (all []slots) {
	switch v := v.(type) {
	case *signer:
		all = append(all, v.slots)
	case *snsVerifier:
		all = append(all, v.slots)
	case *chosen:
		for _, one := range v.schemes {
			all = append(all, slotsOf(one)...)
		}
	case standardVerifier:
		for _, f := range v {
			all = append(all, slotsOf(f.verifier)...)
		}
	}
	return all
}

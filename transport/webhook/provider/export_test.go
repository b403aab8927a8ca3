package provider

import "crypto/x509"

// TrustPayPal makes p trust other authorities than the system's.
func TrustPayPal(p *Provider, roots *x509.CertPool) {
	s := p.Scheme.(payPal)
	s.certificates = newCertificates(s.fetcher, payPalChain(roots))
	p.Scheme = s
}

var (
	PublicOnly = publicOnly
	EarlyField = earlyField
	BoxEscaped = boxEscaped
)

// DecodeHex reads a signature in Hex.
func DecodeHex(text string) ([]byte, bool) {
	var raw [maxSignature]byte
	n, ok := EncodingHex.decode(raw[:], text)
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
	case *signatureVerifier:
		for _, set := range v.sets {
			all = append(all, set.slots)
		}
	case *snsVerifier:
		all = append(all, v.slots)
	case *payPalVerifier:
		all = append(all, v.text.sets[0].slots)
	}
	return all
}

const MaxStrangers = maxStrangers

// CachedTenants returns the number of names in the cache of Tenants.
func (p *Provider) CachedTenants() int {
	p.tenants.mu.Lock()
	defer p.tenants.mu.Unlock()
	return len(p.tenants.all)
}

// FormField returns the first value of a field and how many there are.
func FormField(r *Request, form []byte, name string) (value string, n int, ok bool) {
	fields, ok := formFields(r, form, name)
	return fields[0].value, fields[0].n, ok
}

func IsMultipart(media string) bool { return isMultipart(media) }

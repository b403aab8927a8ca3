package provider

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"hash/crc32"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// PayPal returns the Provider for the PayPal webhooks with the given ids. The id of a webhook is
// in the developer dashboard; that of an event is another.
//
// client fetches PayPal's certificates, as [Keys] describes, from PayPal's hosts only; if client
// is nil, it is that of a [Fetcher]. A certificate must be issued for PayPal's signing host by an
// authority that the system trusts. If secrets are set with SetSecrets, no certificate is
// fetched: a secret is a certificate or a public key in PEM, or a private key in PEM, with which Sign
// works.
//
// The time of a delivery may be 73 hours off, because PayPal repeats a delivery for three days
// and does not document a new signature.
//
// # Security
//
// Only a CRC-32 of the body is signed, which anyone can match. A party that has seen one delivery can
// send another body with its signature, but under the same id. Fetch what an event is about from
// PayPal's API before you act on it.
// (https://developer.paypal.com/api/rest/webhooks/rest/)
func PayPal(client *http.Client, webhooks ...string) *Provider {
	fetcher := &Fetcher{Client: client}
	return &Provider{
		Name:    "paypal",
		Retry:   Retry{Verbatim: true},
		Scheme:  payPal{webhooks, fetcher, newCertificates(fetcher, payPalChain(nil))},
		Payload: Payload{ID: path("id"), Type: path("event_type")},
	}
}

const (
	payPalIDHeader = "Paypal-Transmission-Id"
	payPalTime     = "Paypal-Transmission-Time"
	payPalSig      = "Paypal-Transmission-Sig"
	payPalCert     = "Paypal-Cert-Url"
	payPalAlgo     = "Paypal-Auth-Algo"
)

// payPalHosts are those of PayPal's certificates, with the host for which each is issued.
var payPalHosts = map[string]string{
	"api.paypal.com":           "messageverificationcerts.paypal.com",
	"api-m.paypal.com":         "messageverificationcerts.paypal.com",
	"api.sandbox.paypal.com":   "messageverificationcerts.sandbox.paypal.com",
	"api-m.sandbox.paypal.com": "messageverificationcerts.sandbox.paypal.com",
}

var payPalPath = regexp.MustCompile(`^/v1/notifications/certs/[A-Za-z0-9-]{1,64}$`)

// payPalChain returns a check of the chain of PayPal's certificate. A nil roots means those of
// the system.
func payPalChain(roots *x509.CertPool) func(address string, chain []*x509.Certificate) error {
	return func(address string, chain []*x509.Certificate) error {
		u, err := url.Parse(address)
		if err != nil {
			return errCertificate
		}
		between := x509.NewCertPool()
		for _, c := range chain[1:] {
			between.AddCert(c)
		}
		_, err = chain[0].Verify(x509.VerifyOptions{
			DNSName: payPalHosts[u.Host], Roots: roots, Intermediates: between,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		if err != nil {
			return errors.New("the certificate is not issued for PayPal's signing host by a trusted authority")
		}
		return nil
	}
}

// payPal is the scheme of a signature by a certificate whose URL is in the header.
type payPal struct {
	webhooks     []string
	fetcher      *Fetcher
	certificates *Keys[*rsa.PublicKey]
}

type payPalVerifier struct {
	payPal
	pinned []key // by secret
	at     []int // by pinned: the index of its secret
	text   *signatureVerifier
}

func (payPal) traits() traits {
	return traits{
		headers: []string{payPalSig},
		causes:  oneOf("another webhook's id", causeBody, causeClock),
	}
}

func (p payPal) newVerifier(secrets []secret) (verifier, error) {
	var errs []error
	if len(p.webhooks) == 0 {
		errs = append(errs, errors.New("no webhook: name the ids of the webhooks"))
	}
	for i, id := range p.webhooks {
		if !harmless(id, "") {
			errs = append(errs, errors.New("webhook "+strconv.Itoa(i)+" is not the id of a webhook"))
		}
	}
	v := &payPalVerifier{payPal: p}
	for _, s := range secrets {
		k, err := RSASHA256.fromPEM(s.text)
		if err != nil {
			errs = append(errs, s.wrap(errors.New("is neither a certificate, a public key nor a private key for RSA in PEM")))
		}
		v.pinned, v.at = append(v.pinned, k), append(v.at, s.at)
	}
	v.text = &signatureVerifier{Signature: Signature{Encoding: EncodingBase64}}
	v.text.template, _ = parseTemplate("{body}")
	v.text.scratch.New = func() any { return &scratch{} }
	v.text.sets = []*keySet{{limit: maxPublic, slots: newSlots()}}
	return v, errors.Join(errs...)
}

// payPalHead is what the header of a delivery has for its verification.
type payPalHead struct{ id, time, signature, certificate string }

// head reads the header. Nothing in it is verified yet.
func (v *payPalVerifier) head(r *Request) (h payPalHead, err error) {
	var algorithm string
	for _, f := range []struct {
		name string
		to   *string
	}{{payPalIDHeader, &h.id}, {payPalTime, &h.time}, {payPalSig, &h.signature}, {payPalAlgo, &algorithm}} {
		if *f.to, err = singleHeader(r.Header, f.name); err != nil {
			return h, err
		}
	}
	if !strings.EqualFold(algorithm, "SHA256withRSA") {
		return h, malformed("%s names an unknown algorithm", payPalAlgo)
	}
	if !harmless(h.id, "") {
		return h, malformed("%s is malformed", payPalIDHeader)
	}
	if len(v.pinned) == 0 {
		at, err := singleHeader(r.Header, payPalCert)
		if err != nil {
			return h, err
		}
		u, err := url.Parse(at)
		if err != nil || payPalHosts[u.Host] == "" {
			return h, forged()
		}
		if h.certificate = certificateURL(at, u.Host, payPalPath); h.certificate == "" {
			return h, forged()
		}
	}
	stamp := Timestamp{Layout: time.RFC3339, Tolerance: 3*day + time.Hour}
	return h, stamp.check(h.time, r.now())
}

func (v *payPalVerifier) precheck(r *Request) error {
	_, err := v.head(r)
	return err
}

func (v *payPalVerifier) verify(r *Request) (m match, err error) {
	h, err := v.head(r)
	if err != nil {
		return m, err
	}
	keys, at := v.pinned, v.at
	if len(keys) == 0 {
		public, err := v.certificates.Key(r, h.certificate)
		if err != nil {
			return m, err
		}
		keys, at = []key{&rsaPublicKey{public: public}}, []int{-1}
	}
	for _, webhook := range v.webhooks {
		set := &keySet{keys: keys, at: at, limit: maxPublic, slots: v.text.sets[0].slots}
		n, err := v.text.verifyWithSet(r, set, payPalText(h.id, h.time, webhook, r.Body), h.signature)
		if err == nil {
			return match{key: n, proof: transport.ProofMetadata, id: h.id}, nil
		}
		if !isForged(err) {
			return m, err
		}
	}
	return m, forged()
}

func payPalText(id, at, webhook string, body []byte) string {
	return id + "|" + at + "|" + webhook + "|" + strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10)
}

func (v *payPalVerifier) sign(r *Request, id string) error {
	if len(v.pinned) == 0 {
		return errNotSigner
	}
	if !harmless(id, "") {
		return malformed("the delivery id has other characters than letters, digits and ._~-")
	}
	at := r.now().UTC().Format(time.RFC3339)
	s := v.text.get()
	defer v.text.put(s)
	s.body = []byte(payPalText(id, at, v.webhooks[0], r.Body))
	raw, err := v.pinned[0].sign(s, &v.text.template)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		payPalIDHeader: id, payPalTime: at, payPalSig: EncodingBase64.encode(raw), payPalAlgo: "SHA256withRSA",
	} {
		r.Header.Set(name, value)
	}
	return nil
}

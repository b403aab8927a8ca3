package provider

import (
	"errors"
	"net/textproto"
	"slices"
	"strings"
	"sync"
)

// Signature is the scheme of most senders: a header with one signature, or several, of
// the body and of what is sent with it. The header may occur once only, and every
// signature in it must be well-formed. A list of more than 16 is refused, or of more than
// 4 for public keys.
type Signature struct {
	Algorithm Algorithm // default HMACSHA256

	Header    string   // that has the signature. Required
	Prefix    string   // before the signature, such as "sha256="
	Separator string   // between the entries of a list, of which only those with Prefix count; default: it is no list
	Encoding  Encoding // of the signature: Hex or Base64. Default Hex

	Key       Encoding // of the secrets. Default Text for an HMAC, Base64 for public keys
	KeyPrefix string   // what the sender writes before a secret, which is not part of it, such as "whsec_"

	// Signed is what is signed: text, and the fields {body}, {id}, {ts}, {method} and
	// {url}. Default "{body}".
	Signed string

	ID        string    // the header that {id} is in
	Timestamp Timestamp // when it was signed, {ts}. Default: it has none, and does not expire

	form form                             // of the secrets
	also []Algorithm                      // of an HMAC, accepted as well with the same secrets
	urls func(*Request) []string          // the writings of the URL that are tried
	body func(r *Request) ([]byte, error) // what is signed for {body}
}

// signer is a Signature with its keys.
type signer struct {
	Signature
	template
	keys  []key
	size  int   // of a signature in bytes, 0 if it varies
	most  int   // signatures in a header
	at    []int // of the keys, among the secrets of the provider
	works sync.Pool
	slots slots // for checks that cost more than the rest of the request; nil: they do not
}

// work is what one verification needs, kept for the next one.
type work struct {
	message
	buf  []byte
	macs []mac // by key
	sum  [maxSignature]byte
	sigs [maxSignatures][maxSignature]byte
	lens [maxSignatures]int
	n    int
}

func (s Signature) traits() traits {
	t := traits{headers: []string{s.Header}, url: strings.Contains(s.Signed, "{url}")}
	list := []string{doubtSecret, doubtBody}
	if t.url {
		list = append(list, doubtURL)
	}
	if s.Timestamp != (Timestamp{}) {
		list = append(list, doubtClock)
	}
	t.doubts = anyOf(list...)
	return t
}

func (s Signature) bind(secrets []secret) (verifier, error) { return s.signer(secrets) }

func (s Signature) signer(secrets []secret) (*signer, error) {
	b := &signer{Signature: s}
	errs := []error{b.complete()}
	if len(secrets) == 0 {
		errs = append(errs, errNoSecrets)
	}
	if errs[0] != nil {
		return nil, errors.Join(errs...) // what a key is cannot be told
	}
	for _, secret := range secrets {
		if err := b.form.check(secret.text); err != nil {
			errs = append(errs, secret.about(err))
			continue
		}
		for _, algorithm := range b.algorithms() {
			k, err := algorithm.key(len(b.keys), strings.TrimPrefix(secret.text, b.KeyPrefix), b.Key)
			if h, ok := k.(*hmacKey); ok && err == nil {
				err = b.form.checkKey(h.secret)
			}
			if err != nil {
				errs = append(errs, secret.about(err))
				break
			}
			b.keys, b.at = append(b.keys, k), append(b.at, secret.at)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	b.most = maxSignatures
	if len(b.algorithms()) == 1 {
		b.size = s.Algorithm.size()
	}
	if b.Algorithm.public() {
		b.slots, b.most = newSlots(), maxPublic
	}
	b.works.New = func() any { return &work{macs: make([]mac, len(b.keys))} }
	return b, nil
}

// algorithms are those that a signature may be of. The first signs.
func (s *signer) algorithms() []Algorithm {
	list := []Algorithm{s.Algorithm}
	for _, a := range s.also {
		if !s.Algorithm.public() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// complete fills in the defaults, and reports what cannot work.
func (s *signer) complete() (err error) {
	var errs []error
	if s.Header == "" {
		errs = append(errs, errors.New("Signature.Header is empty"))
	}
	if s.Encoding > Base64 || s.Key > Base64 {
		errs = append(errs, errors.New("Signature.Encoding or Signature.Key is unknown"))
	}
	if s.Encoding == Text {
		s.Encoding = Hex
	}
	if s.Algorithm.public() && s.Key == Text {
		s.Key = Base64
	}
	if s.Signed == "" {
		s.Signed = "{body}"
	}
	if s.template, err = parseTemplate(s.Signed); err != nil {
		errs = append(errs, err)
	}
	if s.names("id") != (s.ID != "") {
		errs = append(errs, errors.New("Signature.ID and {id} in Signature.Signed must be set together"))
	}
	if signed := s.Timestamp.Header != "" || s.Timestamp.Prefix != ""; s.names("ts") != signed {
		errs = append(errs, errors.New("Signature.Timestamp (Header or Prefix) and {ts} in Signature.Signed must be set together"))
	}
	if s.Timestamp.Prefix != "" && s.Separator == "" {
		errs = append(errs, errors.New("Signature.Timestamp.Prefix needs a Separator"))
	}
	s.Header, s.ID = textproto.CanonicalMIMEHeaderKey(s.Header), textproto.CanonicalMIMEHeaderKey(s.ID)
	return errors.Join(append(errs, s.Timestamp.complete(), s.Algorithm.check())...)
}

func (s *signer) precheck(r *Request) error {
	w := s.works.Get().(*work)
	defer s.put(w)
	return s.read(w, r)
}

func (s *signer) verify(r *Request) (m match, err error) {
	w := s.works.Get().(*work)
	defer s.put(w)
	if err = s.read(w, r); err != nil {
		return m, err
	}
	if w.body, err = s.content(r); err != nil {
		return m, err
	}
	i, err := s.match(w, r)
	if err != nil {
		return m, err
	}
	if s.Timestamp.Path != "" {
		if err = s.Timestamp.inBody(r.Body, r.now()); err != nil {
			return m, err
		}
	}
	return match{key: s.at[i], proof: ProofBody, id: w.id}, nil
}

// content returns what {body} stands for.
func (s *signer) content(r *Request) ([]byte, error) {
	if s.body == nil {
		return r.Body, nil
	}
	return s.body(r)
}

// put keeps w, but nothing of the request and no buffer that one long body has made.
func (s *signer) put(w *work) {
	w.message = message{}
	if cap(w.buf) > 64<<10 {
		w.buf = nil
	}
	s.works.Put(w)
}

// read takes from the header what the signature is made of.
func (s *signer) read(w *work, r *Request) error {
	line, err := one(r.Header, s.Header)
	if err != nil {
		return err
	}
	if w.stamp, err = s.entries(line, w); err != nil {
		return err
	}
	if s.Timestamp.Header != "" {
		if w.stamp, err = one(r.Header, s.Timestamp.Header); err != nil {
			return err
		}
	}
	if s.names("ts") {
		if err = s.Timestamp.check(w.stamp, r.now()); err != nil {
			return err
		}
	}
	if s.ID != "" {
		if w.id, err = one(r.Header, s.ID); err != nil {
			return err
		}
		if s.ambiguous(w.id) {
			return malformed("%s is malformed", s.ID)
		}
	}
	w.method = r.Method
	return nil
}

// match returns which key has made one of w's signatures.
func (s *signer) match(w *work, r *Request) (int, error) {
	if s.slots != nil {
		if err := s.slots.take(r); err != nil {
			return -1, err
		}
		defer s.slots.leave()
	}
	urls := [1]string{r.URL}
	tried := urls[:]
	if s.urls != nil {
		tried = s.urls(r)
	}
	for _, w.url = range tried {
		if i := s.tryKeys(w); i >= 0 {
			return i, nil
		}
	}
	return -1, forged()
}

func (s *signer) tryKeys(w *work) int {
	for i, k := range s.keys {
		if k.made(w, &s.template) {
			return i
		}
	}
	return -1
}

func (s *signer) sign(r *Request, id string) error {
	w := s.works.Get().(*work)
	defer s.put(w)
	w.message = message{id: id, method: r.Method, url: r.URL}
	if s.ID != "" {
		if id == "" || s.ambiguous(id) {
			return malformed("the delivery id is empty or ambiguous in the signed text")
		}
		r.Header.Set(s.ID, id)
	}
	if s.names("ts") {
		w.stamp = s.Timestamp.format(r.now())
	}
	var err error
	if s.Timestamp.Path != "" {
		if r.Body, err = s.Timestamp.write(r.Body, r.now()); err != nil {
			return err
		}
	}
	if w.body, err = s.content(r); err != nil {
		return err
	}
	raw, err := s.keys[0].sign(w, &s.template)
	if err != nil {
		return err
	}
	line := s.Prefix + s.Encoding.encode(raw)
	switch {
	case s.Timestamp.Header != "":
		r.Header.Set(s.Timestamp.Header, w.stamp)
	case s.Timestamp.Prefix != "":
		line = s.Timestamp.Prefix + w.stamp + s.Separator + line
	}
	r.Header.Set(s.Header, line)
	return nil
}

// add decodes a signature into w.
func (s *signer) add(w *work, text string) bool {
	if w.n == s.most {
		return false
	}
	n, ok := s.Encoding.decode(w.sigs[w.n][:], text)
	w.lens[w.n] = n
	w.n++
	return ok && n > 0 && (s.size == 0 || n == s.size)
}

func (w *work) signature(i int) []byte { return w.sigs[i][:w.lens[i]] }

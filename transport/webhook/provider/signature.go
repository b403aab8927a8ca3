package provider

import (
	"errors"
	"net/textproto"
	"slices"
	"strings"
	"sync"
)

// Signature is the scheme of most senders: one header holds one or more signatures of the body
// and of values sent with it. The header must occur once, and every signature in it must be
// well-formed. A list may have up to 16 signatures, or up to 4 for public keys.
type Signature struct {
	Algorithm Algorithm // Default: HMACSHA256.

	Header    string   // the header with the signature. Required
	Prefix    string   // before the signature, such as "sha256="
	Separator string   // between the entries of a list; entries without Prefix are skipped. Default: not a list.
	Encoding  Encoding // of the signature: Hex or Base64. Default: Hex.

	Key       Encoding // of the secrets. Default: Text for an HMAC, Base64 for public keys.
	KeyPrefix string   // removed from a secret, such as "whsec_"

	// Signed is the template of the signed text, with the fields {body}, {id}, {ts}, {method}
	// and {url}. Default: "{body}".
	Signed string

	ID        string    // the header with {id}
	Timestamp Timestamp // of the signature, {ts}. Default: none, and a signature does not expire.

	form form                             // of the secrets
	also []Algorithm                      // further HMACs that are accepted with the same secrets
	urls func(*Request) []string          // the forms of the URL that are tried
	body func(r *Request) ([]byte, error) // the text that {body} stands for
}

// signer is a Signature with its keys.
type signer struct {
	Signature
	template
	keys  []key
	size  int   // of a signature in bytes, 0 if it varies
	most  int   // maximum number of signatures in a header
	at    []int // by key: the index of its secret
	works sync.Pool
	slots slots // limits concurrent public-key checks; nil for an HMAC
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
		return nil, errors.Join(errs...) // the form of a key is unknown
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

// algorithms returns the accepted algorithms. The first signs.
func (s *signer) algorithms() []Algorithm {
	list := []Algorithm{s.Algorithm}
	for _, a := range s.also {
		if !s.Algorithm.public() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// complete sets the defaults and reports invalid fields.
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

// content returns the text that {body} stands for.
func (s *signer) content(r *Request) ([]byte, error) {
	if s.body == nil {
		return r.Body, nil
	}
	return s.body(r)
}

// read parses the signatures, and the signed values outside the body, from the header.
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

// Limits on one header. An HMAC signature costs one comparison, a public-key signature about a
// tenth of a millisecond.
const (
	maxSignatures = 16
	maxPublic     = 4
	maxEntries    = 32 // of a list, including those that are not signatures
)

// entries parses a signature header into w's signatures, and returns the timestamp if the list
// has one. Entries with neither prefix are skipped, because senders extend their lists that
// way. A header without any signature is refused.
func (s *signer) entries(line string, w *work) (stamp string, err error) {
	w.n = 0
	for n := 0; ; n++ {
		entry, rest, more := line, "", false
		if s.Separator != "" {
			entry, rest, more = strings.Cut(line, s.Separator)
		}
		if at, ok := s.cutStamp(entry); ok {
			if stamp != "" || at == "" {
				return "", malformed("%s has an empty timestamp or more than one", s.Header)
			}
			stamp = at
		} else if text, ok := strings.CutPrefix(entry, s.Prefix); ok {
			if !s.add(w, text) {
				return "", malformed("%s is malformed", s.Header)
			}
		}
		if !more {
			break
		}
		if n == maxEntries {
			return "", malformed("%s has too many entries", s.Header)
		}
		line = rest
	}
	if w.n == 0 {
		if s.Prefix != "" {
			return "", malformed("no signature with the prefix %q in %s", s.Prefix, s.Header)
		}
		return "", malformed("no signature in %s", s.Header)
	}
	return stamp, nil
}

func (s *signer) cutStamp(entry string) (string, bool) {
	if s.Timestamp.Prefix == "" {
		return "", false
	}
	return strings.CutPrefix(entry, s.Timestamp.Prefix)
}

// add decodes a signature into w. It reports whether the signature is well-formed.
func (s *signer) add(w *work, text string) bool {
	if w.n == s.most {
		return false
	}
	n, ok := s.Encoding.decode(w.sigs[w.n][:], text)
	w.lens[w.n] = n
	w.n++
	return ok && n > 0 && (s.size == 0 || n == s.size)
}

// match returns the index of the key that made one of w's signatures.
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

// inner returns the signer of a text that is assembled from a body.
func inner(s Signature, secrets []secret) (*signer, error) {
	s.Header = "-"
	return s.signer(secrets)
}

// made returns the index of the secret that signed text, a text assembled from r.
func (s *signer) made(r *Request, text, signature string) (int, error) {
	w := s.works.Get().(*work)
	defer s.put(w)
	w.n = 0
	if !s.add(w, signature) {
		return -1, malformed("the signature is malformed")
	}
	w.body = []byte(text)
	i, err := s.match(w, r)
	if err != nil {
		return -1, err
	}
	return s.at[i], nil
}

// make signs text with the first key.
func (s *signer) make(text string) (string, error) {
	w := s.works.Get().(*work)
	defer s.put(w)
	w.body = []byte(text)
	raw, err := s.keys[0].sign(w, &s.template)
	return s.Encoding.encode(raw), err
}

// work is the scratch memory of one verification or signature, reused through a pool.
type work struct {
	message
	buf  []byte
	macs []mac // by key
	sum  [maxSignature]byte
	sigs [maxSignatures][maxSignature]byte
	lens [maxSignatures]int
	n    int
}

func (w *work) signature(i int) []byte { return w.sigs[i][:w.lens[i]] }

// put returns w to the pool, without the request's message and without a buffer over 64 KiB.
func (s *signer) put(w *work) {
	w.message = message{}
	if cap(w.buf) > 64<<10 {
		w.buf = nil
	}
	s.works.Put(w)
}

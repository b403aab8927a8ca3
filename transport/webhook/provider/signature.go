package provider

import (
	"errors"
	"hash"
	"net/textproto"
	"slices"
	"strings"
	"sync"

	"github.com/steadfeed/steadfeed/transport"
)

// Signature is the scheme of most senders: one header holds one or more signatures of the body
// and of values sent with it. The header must occur once, and every signature in it must be
// well-formed. A list may have up to 16 signatures, or up to 4 for public keys.
type Signature struct {
	Algorithm Algorithm // Default: HMACSHA256.

	Header    string   // the header with the signature. Required
	Prefix    string   // before the signature, such as "sha256="
	Separator string   // between the entries of a list; entries without Prefix are skipped. Default: not a list.
	Encoding  Encoding // of the signature. Default: EncodingHex.

	Key       Encoding // of the secrets. Default: plain text for an HMAC, EncodingBase64 for public keys.
	KeyPrefix string   // removed from a secret, such as "whsec_"

	// Signed is the template of the signed text, with the fields {body}, {id}, {ts}, {method}
	// and {url}. Default: "{body}".
	Signed string

	ID        string    // the header with {id}
	Timestamp Timestamp // of the signature, {ts}. Default: none, and a signature does not expire.

	form      secretForm                           // of the secrets
	also      []Algorithm                          // further HMACs that are accepted with the same secrets
	aliases   []headerNames                        // other names of the headers
	versionOf func(secret string) (version, error) // of a secret; nil: all have Algorithm and Prefix
	urls      func(*Request) []string              // the forms of the URL that are tried
	body      func(r *Request) ([]byte, error)     // the text that {body} stands for
}

// Limits on one header. An HMAC signature costs one comparison, a public-key signature about a
// tenth of a millisecond.
const (
	maxSignatures = 16
	maxPublic     = 4
	maxEntries    = 32 // of a list, including those that are not signatures
)

// headerNames are the names of the headers that one signature needs, in canonical form; empty:
// none.
type headerNames struct{ signature, id, timestamp string }

func (n *headerNames) list() [3]string { return [...]string{n.id, n.timestamp, n.signature} }

// version is one way in which a sender signs. The versions of a sender differ in the prefix of
// their signatures.
type version struct {
	algorithm Algorithm
	prefix    string // of a signature
	key       string // the key in a secret, without the prefix of the secret
}

// keySet holds the keys of one version.
type keySet struct {
	prefix string // of a signature
	size   int    // of a signature in bytes; 0: it varies
	limit  int    // of signatures in a header
	keys   []key
	at     []int // by key: the index of its secret
	slots  slots // limits concurrent checks; nil for an HMAC
}

// signatureVerifier is a Signature with its keys.
type signatureVerifier struct {
	Signature // with its defaults
	template
	names   []headerNames // a request uses one of them
	sets    []*keySet     // a request may have signatures of several versions; HMACs come first
	signer  *keySet       // its first key is that of the first secret
	macs    int           // number of HMAC keys
	scratch sync.Pool
}

// scratch is the memory of one verification or signature, reused through a pool.
type scratch struct {
	message
	buf        []byte
	macs       []hash.Hash // by index of an hmacKey
	sum        [maxSignature]byte
	signatures [maxSignatures][maxSignature]byte
	sizes      [maxSignatures]int
	n          int // of signatures
}

func (s Signature) traits() traits {
	t := traits{headers: []string{s.Header}, url: strings.Contains(s.Signed, "{url}")}
	for _, names := range s.aliases {
		t.headers = append(t.headers, names.signature)
	}
	list := []string{causeSecret, causeBody}
	if t.url {
		list = append(list, causeURL)
	}
	if s.Timestamp != (Timestamp{}) {
		list = append(list, causeClock)
	}
	t.causes = oneOf(list...)
	return t
}

func (s Signature) newVerifier(secrets []secret) (verifier, error) { return s.verifier(secrets) }

func (s Signature) verifier(secrets []secret) (*signatureVerifier, error) {
	v := &signatureVerifier{Signature: s}
	errs := []error{v.complete()}
	if len(secrets) == 0 {
		errs = append(errs, errNoSecrets)
	}
	if errs[0] != nil {
		return nil, errors.Join(errs...) // the form of a key is unknown
	}
	for _, secret := range secrets {
		if err := v.add(secret); err != nil {
			errs = append(errs, secret.wrap(err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	v.scratch.New = func() any { return &scratch{macs: make([]hash.Hash, v.macs)} }
	return v, nil
}

// complete sets the defaults and reports invalid fields.
func (v *signatureVerifier) complete() (err error) {
	var errs []error
	if v.Header == "" {
		errs = append(errs, errors.New("Signature.Header is empty"))
	}
	if v.Encoding > EncodingBase64 || v.Key > EncodingBase64 {
		errs = append(errs, errors.New("Signature.Encoding or Signature.Key is unknown"))
	}
	if v.Encoding == encodingText {
		v.Encoding = EncodingHex
	}
	if v.Algorithm.public() && v.Key == encodingText {
		v.Key = EncodingBase64
	}
	if v.Signed == "" {
		v.Signed = "{body}"
	}
	if v.template, err = parseTemplate(v.Signed); err != nil {
		errs = append(errs, err)
	}
	if v.covers("id") != (v.ID != "") {
		errs = append(errs, errors.New("Signature.ID and {id} in Signature.Signed must be set together"))
	}
	if outside := v.Timestamp.Header != "" || v.Timestamp.Prefix != ""; v.covers("ts") != outside {
		errs = append(errs, errors.New("Signature.Timestamp (Header or Prefix) and {ts} in Signature.Signed must be set together"))
	}
	if v.Timestamp.Prefix != "" && v.Separator == "" {
		errs = append(errs, errors.New("Signature.Timestamp.Prefix needs a Separator"))
	}
	v.names = append([]headerNames{{v.Header, v.ID, v.Timestamp.Header}}, v.aliases...)
	for i, n := range v.names {
		canonical := textproto.CanonicalMIMEHeaderKey
		v.names[i] = headerNames{canonical(n.signature), canonical(n.id), canonical(n.timestamp)}
	}
	return errors.Join(append(errs, v.Timestamp.complete(), v.Algorithm.check())...)
}

// add adds the keys of a secret.
func (v *signatureVerifier) add(s secret) error {
	if err := v.form.check(s.text); err != nil {
		return err
	}
	if v.versionOf != nil {
		ver, err := v.versionOf(s.text)
		if err != nil {
			return err
		}
		return v.addKey(ver, s.at)
	}
	for _, a := range v.algorithms() {
		if err := v.addKey(version{a, v.Prefix, strings.TrimPrefix(s.text, v.KeyPrefix)}, s.at); err != nil {
			return err
		}
	}
	return nil
}

// algorithms returns the accepted algorithms. The first signs.
func (v *signatureVerifier) algorithms() []Algorithm {
	list := []Algorithm{v.Algorithm}
	for _, a := range v.also {
		if !v.Algorithm.public() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

func (v *signatureVerifier) addKey(ver version, at int) error {
	k, err := ver.algorithm.key(v.macs, ver.key, v.Key)
	if err != nil {
		return err
	}
	if h, ok := k.(*hmacKey); ok {
		if err := v.form.checkKey(h.secret); err != nil {
			return err
		}
		v.macs++
	}
	set := v.set(ver)
	set.keys, set.at = append(set.keys, k), append(set.at, at)
	if set.size != ver.algorithm.size() {
		set.size = 0
	}
	return nil
}

// set returns the keySet of a version.
func (v *signatureVerifier) set(ver version) *keySet {
	for _, set := range v.sets {
		if set.prefix == ver.prefix {
			return set
		}
	}
	set := &keySet{prefix: ver.prefix, size: ver.algorithm.size(), limit: maxSignatures}
	if ver.algorithm.public() {
		set.limit, set.slots = maxPublic, newSlots()
		v.sets = append(v.sets, set)
	} else {
		v.sets = slices.Insert(v.sets, 0, set)
	}
	if v.signer == nil {
		v.signer = set
	}
	return set
}

func (v *signatureVerifier) precheck(r *Request) error {
	s := v.get()
	defer v.put(s)
	names, err := v.namesIn(r)
	if err != nil {
		return err
	}
	for _, set := range v.sets {
		failure := v.read(s, r, names, set)
		if failure == nil {
			return nil
		}
		err = worse(err, failure)
	}
	return err
}

// verify tries each version and each key.
func (v *signatureVerifier) verify(r *Request) (match, error) {
	s := v.get()
	defer v.put(s)
	names, err := v.namesIn(r)
	if err != nil {
		return match{}, err
	}
	for _, set := range v.sets {
		at, failure := v.verifyWith(s, r, names, set)
		if failure == nil {
			return match{key: at, proof: transport.ProofBody, id: s.id}, nil
		}
		err = worse(err, failure)
	}
	return match{}, err
}

// verifyWith returns the index of the secret in set that signed r.
func (v *signatureVerifier) verifyWith(s *scratch, r *Request, names *headerNames, set *keySet) (at int, err error) {
	if err = v.read(s, r, names, set); err != nil {
		return -1, err
	}
	if s.body, err = v.content(r); err != nil {
		return -1, err
	}
	if at, err = v.findKey(s, r, set); err != nil {
		return -1, err
	}
	if v.Timestamp.Path != "" {
		err = v.Timestamp.inBody(r.Body, r.now())
	}
	return at, err
}

// worse returns the more informative of two errors: the first, unless the second is about a
// signature that does not match or could not be verified.
func worse(a, b error) error {
	if a == nil || isForged(b) || isBusy(b) {
		return b
	}
	return a
}

// namesIn returns the names of the headers in r. If r also has headers of other names, with
// other values, it is malformed: another program may read those.
func (v *signatureVerifier) namesIn(r *Request) (*headerNames, error) {
	found := &v.names[0]
	if len(v.names) == 1 {
		return found, nil
	}
	for i := range v.names {
		if _, ok := r.Header[v.names[i].signature]; ok {
			found = &v.names[i]
			break
		}
	}
	want := found.list()
	for i := range v.names {
		for n, name := range v.names[i].list() {
			if value := firstHeader(r.Header, name); value != "" && value != firstHeader(r.Header, want[n]) {
				return nil, malformed("%s and %s differ", name, want[n])
			}
		}
	}
	return found, nil
}

// read parses the signatures of set's version, and the signed values outside the body, from
// the header.
func (v *signatureVerifier) read(s *scratch, r *Request, names *headerNames, set *keySet) error {
	line, err := singleHeader(r.Header, names.signature)
	if err != nil {
		return err
	}
	if s.stamp, err = v.entries(s, line, names, set); err != nil {
		return err
	}
	if names.timestamp != "" {
		if s.stamp, err = singleHeader(r.Header, names.timestamp); err != nil {
			return err
		}
	}
	if v.covers("ts") {
		if err = v.Timestamp.check(s.stamp, r.now()); err != nil {
			return err
		}
	}
	if names.id != "" {
		if s.id, err = singleHeader(r.Header, names.id); err != nil {
			return err
		}
		if v.ambiguous(s.id) {
			return malformed("%s is malformed", names.id)
		}
	}
	s.method = r.Method
	return nil
}

// entries parses a signature header, and returns the timestamp if the list has one. Entries
// with another prefix are skipped, because senders extend their lists that way. A header
// without any signature of set's version is refused.
func (v *signatureVerifier) entries(s *scratch, line string, names *headerNames, set *keySet) (stamp string, err error) {
	s.n = 0
	for n := 0; ; n++ {
		entry, rest, more := line, "", false
		if v.Separator != "" {
			entry, rest, more = strings.Cut(line, v.Separator)
		}
		if at, ok := v.cutStamp(entry); ok {
			if stamp != "" || at == "" {
				return "", malformed("%s has an empty timestamp or more than one", names.signature)
			}
			stamp = at
		} else if text, ok := strings.CutPrefix(entry, set.prefix); ok {
			if !s.add(set, v.Encoding, text) {
				return "", malformed("%s is malformed", names.signature)
			}
		}
		if !more {
			break
		}
		if n == maxEntries {
			return "", malformed("%s has too many entries", names.signature)
		}
		line = rest
	}
	if s.n == 0 {
		if set.prefix != "" {
			return "", malformed("no signature with the prefix %q in %s", set.prefix, names.signature)
		}
		return "", malformed("no signature in %s", names.signature)
	}
	return stamp, nil
}

func (v *signatureVerifier) cutStamp(entry string) (string, bool) {
	if v.Timestamp.Prefix == "" {
		return "", false
	}
	return strings.CutPrefix(entry, v.Timestamp.Prefix)
}

// add decodes a signature. It reports whether the signature is well-formed.
func (s *scratch) add(set *keySet, e Encoding, text string) bool {
	if s.n == set.limit {
		return false
	}
	n, ok := e.decode(s.signatures[s.n][:], text)
	s.sizes[s.n] = n
	s.n++
	return ok && n > 0 && (set.size == 0 || n == set.size)
}

func (s *scratch) signature(i int) []byte { return s.signatures[i][:s.sizes[i]] }

// content returns the text that {body} stands for.
func (v *signatureVerifier) content(r *Request) ([]byte, error) {
	if v.body == nil {
		return r.Body, nil
	}
	return v.body(r)
}

// findKey returns the index of the secret in set that made one of the signatures.
func (v *signatureVerifier) findKey(s *scratch, r *Request, set *keySet) (at int, err error) {
	if set.slots != nil {
		if err := set.slots.take(r); err != nil {
			return -1, err
		}
		defer set.slots.leave()
	}
	urls := [1]string{r.URL}
	tried := urls[:]
	if v.urls != nil {
		tried = v.urls(r)
	}
	for _, s.url = range tried {
		for i, k := range set.keys {
			if k.verify(s, &v.template) {
				return set.at[i], nil
			}
		}
	}
	return -1, forged()
}

func (v *signatureVerifier) sign(r *Request, id string) error {
	s := v.get()
	defer v.put(s)
	s.message = message{id: id, method: r.Method, url: r.URL}
	names := &v.names[0]
	if names.id != "" {
		if id == "" || v.ambiguous(id) {
			return malformed("the delivery id is empty or ambiguous in the signed text")
		}
		r.Header.Set(names.id, id)
	}
	if v.covers("ts") {
		s.stamp = v.Timestamp.format(r.now())
	}
	var err error
	if v.Timestamp.Path != "" {
		if r.Body, err = v.Timestamp.write(r.Body, r.now()); err != nil {
			return err
		}
	}
	if s.body, err = v.content(r); err != nil {
		return err
	}
	raw, err := v.signer.keys[0].sign(s, &v.template)
	if err != nil {
		return err
	}
	line := v.signer.prefix + v.Encoding.encode(raw)
	switch {
	case names.timestamp != "":
		r.Header.Set(names.timestamp, s.stamp)
	case v.Timestamp.Prefix != "":
		line = v.Timestamp.Prefix + s.stamp + v.Separator + line
	}
	r.Header.Set(names.signature, line)
	return nil
}

func (v *signatureVerifier) get() *scratch { return v.scratch.Get().(*scratch) }

// put returns s to the pool, without the request's message and without a buffer over 64 KiB.
func (v *signatureVerifier) put(s *scratch) {
	s.message = message{}
	if cap(s.buf) > 64<<10 {
		s.buf = nil
	}
	v.scratch.Put(s)
}

// textSignature returns the verifier of a signature inside a body. The signed text is
// assembled from the body, so Header is not used.
func textSignature(s Signature, secrets []secret) (*signatureVerifier, error) {
	s.Header = "-"
	return s.verifier(secrets)
}

// verifyText returns the index of the secret that signed text, which is assembled from r.
func (v *signatureVerifier) verifyText(r *Request, text, signature string) (at int, err error) {
	s := v.get()
	defer v.put(s)
	set := v.sets[0]
	s.n = 0
	if !s.add(set, v.Encoding, signature) {
		return -1, malformed("the signature is malformed")
	}
	s.body = []byte(text)
	return v.findKey(s, r, set)
}

// signText signs text with the first key.
func (v *signatureVerifier) signText(text string) (string, error) {
	s := v.get()
	defer v.put(s)
	s.body = []byte(text)
	raw, err := v.signer.keys[0].sign(s, &v.template)
	return v.Encoding.encode(raw), err
}

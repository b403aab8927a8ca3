package provider

import (
	"hash"
	"strings"

	"github.com/steadfeed/steadfeed/transport"
)

// Limits on one header. An HMAC signature costs one comparison, a public-key signature about a
// tenth of a millisecond.
const (
	maxSignatures = 16
	maxPublic     = 4
	maxEntries    = 32 // of a list, including those that are not signatures
)

// scratch is the memory of one verification or signature, reused through a pool.
type scratch struct {
	message
	buf        []byte
	macs       []hash.Hash // by index of an hmacKey
	sum        [maxSignature]byte
	signatures [maxSignatures * maxSignature]byte // in set.limit pieces of equal length
	piece      int                                // length of one
	sizes      [maxSignatures]int
	n          int // of signatures
}

// add decodes a signature. It reports whether the signature is well-formed.
func (s *scratch) add(set *keySet, e Encoding, text string) bool {
	if s.n == set.limit {
		return false
	}
	s.piece = len(s.signatures) / set.limit
	n, ok := e.decode(s.signatures[s.n*s.piece:][:s.piece], text)
	s.sizes[s.n] = n
	s.n++
	return ok && n > 0 && (set.size == 0 || n == set.size)
}

func (s *scratch) signature(i int) []byte { return s.signatures[i*s.piece:][:s.sizes[i]] }

func (v *signatureVerifier) get() *scratch { return v.scratch.Get().(*scratch) }

// put returns s to the pool, without the request's message and without a buffer over 64 KiB.
func (v *signatureVerifier) put(s *scratch) {
	s.message = message{}
	if cap(s.buf) > 64<<10 {
		s.buf = nil
	}
	v.scratch.Put(s)
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
	err := v.signatures(s, r, names, set)
	if err != nil {
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

// signatures parses the signatures of set's version, and their timestamp if the list has one. A
// request without any is refused.
func (v *signatureVerifier) signatures(s *scratch, r *Request, names *headerNames, set *keySet) error {
	s.n, s.stamp = 0, ""
	missing := true
	for i := -1; i < len(v.more); i++ {
		name := names.signature
		if i >= 0 {
			name = v.more[i]
		}
		if len(v.more) > 0 && len(r.Header[name]) == 0 {
			continue
		}
		missing = false
		line, err := singleHeader(r.Header, name)
		if err != nil {
			return err
		}
		if err := v.entries(s, name, line, set); err != nil {
			return err
		}
	}
	switch {
	case s.n > 0:
		return nil
	case missing:
		return malformed("header %s is missing or empty", names.signature)
	case set.prefix != "":
		return malformed("no signature with the prefix %q in %s", set.prefix, names.signature)
	}
	return malformed("no signature in %s", names.signature)
}

// entries parses a signature header. Entries with another prefix are skipped, because senders
// extend their lists that way.
func (v *signatureVerifier) entries(s *scratch, name, line string, set *keySet) error {
	for n := 0; ; n++ {
		entry, rest, more := line, "", false
		if v.Separator != "" {
			entry, rest, more = strings.Cut(line, v.Separator)
		}
		if at, ok := v.cutStamp(entry); ok {
			if s.stamp != "" || at == "" {
				return malformed("%s has an empty timestamp or more than one", name)
			}
			s.stamp = at
		} else if text, ok := strings.CutPrefix(entry, set.prefix); ok {
			if !s.add(set, v.Encoding, text) {
				return malformed("%s is malformed", name)
			}
		}
		if !more {
			return nil
		}
		if n == maxEntries {
			return malformed("%s has too many entries", name)
		}
		line = rest
	}
}

func (v *signatureVerifier) cutStamp(entry string) (string, bool) {
	if v.Timestamp.Prefix == "" {
		return "", false
	}
	return strings.CutPrefix(entry, v.Timestamp.Prefix)
}

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

// textSignature returns the verifier of a signature inside a body. The signed text is
// assembled from the body, so Header is not used.
func textSignature(s Signature, secrets []secret) (*signatureVerifier, error) {
	s.Header = "-"
	return s.verifier(secrets)
}

// verifyText returns the index of the secret that signed text, which is assembled from r.
func (v *signatureVerifier) verifyText(r *Request, text, signature string) (at int, err error) {
	return v.verifyWithSet(r, v.sets[0], text, signature)
}

// verifyWithSet is verifyText with other keys.
func (v *signatureVerifier) verifyWithSet(r *Request, set *keySet, text, signature string) (at int, err error) {
	s := v.get()
	defer v.put(s)
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

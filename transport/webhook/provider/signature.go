package provider

import (
	"errors"
	"hash"
	"net/textproto"
	"slices"
	"strings"
	"sync"
)

// Signature is the scheme of most senders: one header holds one or more signatures of the body
// and of values sent with it. The header must occur once, and every signature in it must be
// well-formed. With More, it may be missing if another is there. A list may have up to 16 signatures, or up to 4 for public keys.
type Signature struct {
	Algorithm Algorithm // Default: HMACSHA256.

	Header    string   // the header with the signature. Required
	More      []string // further headers with signatures, of other keys; one that matches is enough
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
	learned   bool                                 // the first secret may arrive in a handshake
}

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
	more    []string      // More in canonical form
	sets    []*keySet     // a request may have signatures of several versions; HMACs come first
	signer  *keySet       // its first key is that of the first secret
	macs    int           // number of HMAC keys
	scratch sync.Pool
}

func (s Signature) traits() traits {
	t := traits{headers: append([]string{s.Header}, s.More...), url: strings.Contains(s.Signed, "{url}")}
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

func (s Signature) newVerifier(secrets []secret) (verifier, error) {
	v, err := s.verifier(secrets)
	if err == nil && len(secrets) == 0 {
		return unlearned{}, nil
	}
	return v, err
}

func (s Signature) verifier(secrets []secret) (*signatureVerifier, error) {
	v := &signatureVerifier{Signature: s}
	errs := []error{v.complete()}
	if len(secrets) == 0 && !s.learned {
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
	if v.Encoding > EncodingBase64URL || v.Key > EncodingBase64URL {
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
	for _, name := range v.More {
		if name == "" {
			errs = append(errs, errors.New("Signature.More has an empty name"))
		}
		v.more = append(v.more, textproto.CanonicalMIMEHeaderKey(name))
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

package provider

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/textproto"
	"net/url"

	"github.com/steadfeed/steadfeed/transport"
)

// Token is the scheme of a sender that puts a secret into each request.
//
// # Security
//
// An observer of one request can forge others, and the body is not protected.
type Token struct {
	Header string // the header with the token; or
	Query  string // the URL parameter that is the token

	// Prefix precedes the token in the header, such as "Bearer ". Its case is ignored.
	// Default: none.
	Prefix string
}

func (t Token) traits() traits { return traits{headers: []string{t.Header}} }

func (t Token) newVerifier(secrets []secret) (verifier, error) {
	if (t.Header == "") == (t.Query == "") {
		return nil, errors.New("Token needs either Header or Query")
	}
	t.Header = textproto.CanonicalMIMEHeaderKey(t.Header)
	for _, s := range secrets {
		if _, ok := cutFold(s.text, t.Prefix); ok && t.Prefix != "" {
			return nil, s.wrap(fmt.Errorf("begins with %q, which Token.Prefix already adds", t.Prefix))
		}
	}
	h, err := newSecretSums(secrets)
	return &tokenVerifier{t, h}, err
}

type tokenVerifier struct {
	Token
	secretSums
}

func (t *tokenVerifier) precheck(r *Request) error {
	_, err := t.verify(r)
	return err
}

func (t *tokenVerifier) verify(r *Request) (match, error) {
	if t.Query != "" {
		values := query(r)[t.Query]
		if len(values) != 1 || values[0] == "" {
			return match{}, malformed("the URL needs exactly one token")
		}
		return t.find(values[0])
	}
	line, err := singleHeader(r.Header, t.Header)
	if err != nil {
		return match{}, err
	}
	text, ok := cutFold(line, t.Prefix)
	if !ok {
		return match{}, malformed("%s has no token", t.Header)
	}
	return t.find(text)
}

func (t *tokenVerifier) sign(r *Request, _ string) error {
	if t.Query == "" {
		r.Header.Set(t.Header, t.Prefix+t.texts[0])
		return nil
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return errors.New("the URL cannot be parsed")
	}
	q := u.Query()
	q.Set(t.Query, t.texts[0])
	u.RawQuery = q.Encode()
	r.URL = u.String()
	return nil
}

// secretSums compares secrets by their SHA-256 sums: these have one length, and the time that a
// comparison takes reveals nothing about a secret.
type secretSums struct {
	texts []string
	sums  [][sha256.Size]byte
	at    []int
}

func newSecretSums(secrets []secret) (h secretSums, err error) {
	if len(secrets) == 0 {
		return h, errNoSecrets
	}
	for _, s := range secrets {
		h.texts = append(h.texts, s.text)
		h.sums = append(h.sums, sha256.Sum256([]byte(s.text)))
		h.at = append(h.at, s.at)
	}
	return h, nil
}

// find compares text with every secret and returns the one that is equal.
func (h *secretSums) find(text string) (match, error) {
	var room [128]byte
	sum := sha256.Sum256(append(room[:0], text...))
	found := -1
	for i := range h.sums {
		if subtle.ConstantTimeCompare(sum[:], h.sums[i][:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return match{}, forged()
	}
	return match{key: h.at[found], proof: transport.ProofBearer}, nil
}

package provider

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/textproto"
	"net/url"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// Token is the scheme of a sender that puts a secret into each request.
//
// # Security
//
// An observer of one request can forge others, and the body is not protected. A token in the body
// remains in the Data of an event. One in a URL is often logged by proxies.
type Token struct {
	Header   string // the header with the token; or
	Query    string // the URL parameter that is the token; or
	Wildcard string // the wildcard of the path that is the token, see Request.PathValue; or
	Path     string // the gjson path of the token in a JSON body, whose objects must not repeat a name; or
	Form     string // the field of a form body, URL-encoded or multipart, that is the token

	// Prefix precedes the token in the header, such as "Bearer ". Its case is ignored.
	// Default: none.
	Prefix string
}

func (t Token) traits() traits { return traits{headers: []string{t.Header}, query: t.Query} }

func (t Token) newVerifier(secrets []secret) (verifier, error) {
	places := 0
	for _, place := range [...]string{t.Header, t.Query, t.Wildcard, t.Path, t.Form} {
		if place != "" {
			places++
		}
	}
	if places != 1 {
		return nil, errors.New("Token needs one of Header, Query, Wildcard, Path and Form")
	}
	if t.Prefix != "" && t.Header == "" {
		return nil, errors.New("Token.Prefix needs Header")
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
	if t.Path != "" || t.Form != "" {
		return nil
	}
	_, err := t.verify(r)
	return err
}

func (t *tokenVerifier) verify(r *Request) (match, error) {
	text, err := t.text(r)
	if err != nil {
		return match{}, err
	}
	m, err := t.find(text)
	if err == nil && t.Path != "" {
		err = unambiguous(r.Body)
	}
	return m, err
}

// text returns the token of a request.
func (t *tokenVerifier) text(r *Request) (string, error) {
	switch {
	case t.Query != "":
		return singleQuery(r, t.Query)
	case t.Form != "":
		return singleField(r, r.Body, t.Form)
	case t.Header != "":
		line, err := singleHeader(r.Header, t.Header)
		if err != nil {
			return "", err
		}
		text, ok := cutFold(line, t.Prefix)
		if !ok {
			return "", malformed("%s has no token", t.Header)
		}
		return text, nil
	}
	text := r.PathValue(t.Wildcard)
	if t.Path != "" {
		text = decode.Field(r.Body, t.Path)
	}
	if text == "" {
		return "", malformed("the token is missing")
	}
	return text, nil
}

func (t *tokenVerifier) sign(r *Request, _ string) error {
	switch {
	case t.Header != "":
		r.Header.Set(t.Header, t.Prefix+t.texts[0])
		return nil
	case t.Query != "":
		return t.signURL(r)
	case t.Form != "":
		return signForm(r, formField{name: t.Form, value: t.texts[0]})
	case t.Path != "":
		return t.signBody(r)
	}
	return errors.New("Token.Wildcard: the URL must have the token")
}

// signURL adds the token to the query.
func (t *tokenVerifier) signURL(r *Request) error {
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

// signBody adds the token to the JSON object that is the body.
func (t *tokenVerifier) signBody(r *Request) error {
	if !isName(t.Path) {
		return errors.New("Token.Path: the token can be written only as a member of the body")
	}
	body, err := object(r.Body)
	if err != nil {
		return err
	}
	body[t.Path] = t.texts[0]
	r.Body, err = json.Marshal(body)
	return err
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

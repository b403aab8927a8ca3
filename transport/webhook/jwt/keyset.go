package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const (
	maxSet     = 512 << 10 // bytes
	maxSetKeys = 256
	minSetAge  = 5 * time.Minute
	maxSetAge  = 24 * time.Hour
	staleFor   = 24 * time.Hour
)

// A KeySet is a JSON Web Key Set (RFC 7517) that is fetched when it is first needed, and again
// after the max-age of its response, which counts as 5 min to 24 h, or else after an hour. If
// that fails, the old keys are used for another day.
//
// A token with an unknown key makes the set be fetched again, but not within 30 s of the last
// time, as [provider.Keys] describes. The answer to a delivery whose key cannot be known for now
// asks the sender to send it again: that is Answers.Busy, not Answers.Forged.
//
// Keys that are not for signatures, or too weak, are ignored. Use it as *KeySet, and do not change
// it once it is in use. Several providers may share it.
type KeySet struct {
	// URL is the https URL of the set, or of OpenID provider metadata, whose jwks_uri names the
	// set. Required.
	URL string

	// Client sends the requests. Default: that of a provider.Fetcher.
	Client *http.Client

	once sync.Once
	keys provider.Keys[keySet]
}

// keySet holds the keys of a set by their id.
type keySet struct {
	keys  map[string]*Key
	only  *Key      // if there is only one
	began time.Time // the fetch
}

func (s keySet) find(id string) *Key {
	if id == "" {
		return s.only
	}
	return s.keys[id]
}

// Validate reports an error in the configuration.
func (k *KeySet) Validate() error {
	if k == nil {
		return errors.New("KeySet is nil")
	}
	return checkURL("KeySet.URL", k.URL)
}

// checkURL hides the error of url.Parse, which contains the URL.
func checkURL(field, text string) error {
	if u, err := url.Parse(text); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return errors.New(field + " must be an https URL without a user")
	}
	return nil
}

// Key implements KeySource.
func (k *KeySet) Key(r *provider.Request, id string) (*Key, error) {
	k.once.Do(func() { k.keys.Fetch, k.keys.Stale = k.fetch, staleFor })
	start := time.Now()
	set, err := k.keys.Key(r, k.URL)
	if err != nil {
		return nil, err
	}
	if key := set.find(id); key != nil || !set.began.Before(start) {
		return key, nil
	}
	set, fresh, err := k.keys.Renewed(r, k.URL)
	if err != nil {
		return nil, err
	}
	key := set.find(id)
	if key == nil && !fresh {
		return nil, busyError("the key of the token is unknown, and the key set was fetched less than 30 s ago")
	}
	return key, nil
}

// fetch fetches the set, and before it the metadata that name it.
func (k *KeySet) fetch(ctx context.Context, address string) (set keySet, until time.Time, err error) {
	set.began = time.Now()
	f := &provider.Fetcher{Client: k.Client, MaxSize: maxSet}
	var document struct {
		Keys []json.RawMessage `json:"keys"`
		URI  string            `json:"jwks_uri"`
	}
	header, err := fetchJSON(ctx, f, address, &document)
	if err == nil && document.Keys == nil && document.URI != "" {
		header, err = fetchJSON(ctx, f, document.URI, &document)
	}
	if err != nil {
		return set, until, err
	}
	if len(document.Keys) > maxSetKeys {
		return set, until, errors.New("the key set has too many keys")
	}
	set.keys = map[string]*Key{}
	usable := 0
	for _, raw := range document.Keys {
		id, key := parseKey(raw)
		if key == nil {
			continue
		}
		usable++
		set.only = key
		if id != "" && set.keys[id] == nil {
			set.keys[id] = key
		}
	}
	if usable == 0 {
		return set, until, errors.New("the response has no key for a signature")
	}
	if usable > 1 {
		set.only = nil
	}
	return set, time.Now().Add(maxAge(header)), nil
}

// fetchJSON fetches a document.
func fetchJSON(ctx context.Context, f *provider.Fetcher, address string, to any) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the URL is malformed")
	}
	resp, body, err := f.Do(req)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the response has status %d", resp.StatusCode)
	case json.Unmarshal(body, to) != nil:
		return nil, errors.New("the response is not the expected JSON")
	}
	return resp.Header, nil
}

// parseKey returns a key of a set, or nil if it is not for signatures or of an unknown kind, which
// is ignored (RFC 7517, section 5).
func parseKey(raw []byte) (id string, key *Key) {
	var k jose.JSONWebKey
	if k.UnmarshalJSON(raw) != nil || k.Use != "" && k.Use != "sig" || !isPublic(k.Key) {
		return "", nil
	}
	key = &Key{Public: k.Key, Algorithm: k.Algorithm, JSON: raw}
	for _, a := range algorithms {
		if fits(key.Public, a) && (k.Algorithm == "" || k.Algorithm == a) {
			return k.KeyID, key
		}
	}
	return "", nil
}

// isPublic reports whether a key is one of the kinds that verify. A symmetric key in a public set
// is none.
func isPublic(key crypto.PublicKey) bool {
	switch key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// maxAge returns how long a response may be used (RFC 9111, section 5.2.2.1), within limits.
func maxAge(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.Join(h["Cache-Control"], ","), ",") {
		text, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(directive)), "max-age=")
		if n, err := strconv.ParseUint(text, 10, 31); ok && err == nil {
			return min(max(time.Duration(n)*time.Second, minSetAge), maxSetAge)
		}
	}
	return time.Hour
}

package jwt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Plaid returns the Provider for Plaid. The token covers the body and is at most five minutes old.
// The keys are fetched by their id from Plaid's API. If secrets are set with SetSecrets, none is
// fetched: see Scheme.
// (https://plaid.com/docs/api/webhooks/webhook-verification/)
func Plaid(keys *PlaidKeys) *provider.Provider {
	return &provider.Provider{
		Name:    "plaid",
		Answers: provider.Answers{Accepted: provider.Answer{Status: 200}},
		Scheme: Scheme{
			Header: "Plaid-Verification", Algorithms: []string{"ES256"}, Keys: keys,
			BodyHash: "request_body_sha256", MaxAge: 5 * time.Minute,
		},
		ID: provider.Source{Hash: true},
		Payload: provider.Payload{
			Type: provider.Source{Path: []string{"webhook_code"}},
		},
	}
}

// PlaidKeys fetches Plaid's keys, as [provider.Keys] describes, with the credentials of an
// account. Use it as *PlaidKeys, and do not change it once it is in use.
type PlaidKeys struct {
	ClientID, Secret string // required

	// URL is that of the API. Default: "https://production.plaid.com".
	URL string

	// Client sends the requests. Default: that of a provider.Fetcher.
	Client *http.Client

	once sync.Once
	keys provider.Keys[*Key]
}

// Validate reports an error in the configuration.
func (k *PlaidKeys) Validate() error {
	switch {
	case k == nil:
		return errors.New("PlaidKeys is nil")
	case k.ClientID == "" || k.Secret == "":
		return errors.New("PlaidKeys.ClientID and PlaidKeys.Secret are required")
	}
	return checkURL("PlaidKeys.URL", k.url())
}

func (k *PlaidKeys) url() string {
	if k.URL == "" {
		return "https://production.plaid.com"
	}
	return k.URL
}

// String hides the credentials.
func (k *PlaidKeys) String() string { return "PlaidKeys" }

// GoString hides the credentials.
func (k *PlaidKeys) GoString() string { return "PlaidKeys" }

// LogValue hides the credentials.
func (k *PlaidKeys) LogValue() slog.Value { return slog.StringValue("PlaidKeys") }

// Key implements KeySource.
func (k *PlaidKeys) Key(r *provider.Request, id string) (*Key, error) {
	if !harmless(id, 128) {
		return nil, nil
	}
	k.once.Do(func() { k.keys.Fetch, k.keys.Stale = k.fetch, day })
	key, err := k.keys.Key(r, id)
	var forged interface{ Forged() bool }
	if errors.As(err, &forged) && forged.Forged() {
		return nil, nil
	}
	return key, err
}

// noKey is the error of an id that Plaid does not know, or of a key that has expired.
type noKey struct{}

func (noKey) Error() string { return "there is no such key" }

// Forged returns true.
func (noKey) Forged() bool { return true }

// fetch fetches a key. Plaid answers 400 to an unknown id.
func (k *PlaidKeys) fetch(ctx context.Context, id string) (*Key, time.Time, error) {
	body, err := json.Marshal(map[string]string{"client_id": k.ClientID, "secret": k.Secret, "key_id": id})
	if err != nil {
		return nil, time.Time{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url()+"/webhook_verification_key/get", bytes.NewReader(body))
	if err != nil {
		return nil, time.Time{}, errors.New("the URL is malformed")
	}
	req.Header.Set("Content-Type", "application/json")
	f := provider.Fetcher{Client: k.Client}
	resp, text, err := f.Do(req)
	if err != nil {
		return nil, time.Time{}, err
	}
	var answer struct {
		Key  json.RawMessage `json:"key"`
		Code string          `json:"error_code"`
	}
	bad := json.Unmarshal(text, &answer) != nil
	switch {
	case resp.StatusCode == http.StatusBadRequest && answer.Code == "INVALID_WEBHOOK_VERIFICATION_KEY_ID":
		return nil, time.Time{}, noKey{}
	case resp.StatusCode != http.StatusOK:
		return nil, time.Time{}, fmt.Errorf("the response has status %d", resp.StatusCode)
	case bad:
		return nil, time.Time{}, errors.New("the response is not the expected JSON")
	}
	var state struct {
		ExpiredAt *int64 `json:"expired_at"`
	}
	found, key := parseKey(answer.Key)
	switch {
	case key == nil || found != id || json.Unmarshal(answer.Key, &state) != nil:
		return nil, time.Time{}, errors.New("the response has not the key that was asked for")
	case state.ExpiredAt != nil:
		return nil, time.Time{}, noKey{}
	}
	return key, time.Time{}, nil
}

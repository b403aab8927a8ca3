package jwt

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const (
	entraMetadata = "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"

	eventGridApp = "4962773b-9cdb-44cf-a8bf-237846a00ab7" // Microsoft.EventGrid
	graphApp     = "0bf30f3b-4a52-48df-9a82-234910c4a086" // Microsoft Graph Change Tracking
)

// entra returns the scheme of a token of Entra ID, in version 1.0 or 2.0, for one of the tenants
// and audiences. Its sender must be one of apps.
func entra(tenants, audiences, apps []string) Scheme {
	var issuers []string
	for _, t := range tenants {
		if !harmless(t, 64) {
			issuers = append(issuers, "") // for Validate to report
			continue
		}
		issuers = append(issuers, "https://sts.windows.net/"+t+"/", "https://login.microsoftonline.com/"+t+"/v2.0")
	}
	return Scheme{
		Prefix: "Bearer ", Algorithms: []string{"RS256"}, Keys: &KeySet{URL: entraMetadata},
		Issuers: issuers, Audiences: audiences, Leeway: 5 * time.Minute,
		Check: func(_ *provider.Request, tokens []*Token) error {
			for _, t := range tokens {
				sender := t.Claim("appid") // in version 1.0
				if t.Claim("ver") == "2.0" {
					sender = t.Claim("azp")
				}
				if !slices.Contains(apps, sender) {
					return errors.New("another application")
				}
			}
			return nil
		},
	}
}

// AzureEventGrid returns the Provider for Azure Event Grid with delivery protected by Entra ID.
// tenant is the id of the tenant, and audience the application id or URI of the webhook, as the
// event subscription is configured. origins are those of provider.AzureEventGrid, which describes
// answers and handshakes. The body is not protected.
//
// The sender must be Event Grid itself, which another tenant's subscription is too: the token
// proves that your tenant gave it access to the audience. Where a managed identity delivers, change
// Check.
// (https://learn.microsoft.com/azure/event-grid/secure-webhook-delivery)
func AzureEventGrid(tenant, audience string, origins ...string) *provider.Provider {
	p := provider.AzureEventGrid(origins)
	p.Scheme = entra([]string{tenant}, []string{audience}, []string{eventGridApp})
	return p
}

// BotFramework returns the Provider for a bot that the Bot Connector service of Microsoft calls.
// apps are the ids of the bot's applications. The serviceUrl of an activity must be that of the
// token, and its key must be endorsed for the activity's channel. Nothing else in the body is
// protected. A bot in the emulator, a skill, and a government cloud have other issuers: change the
// Scheme.
// (https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication)
func BotFramework(apps ...string) *provider.Provider {
	return &provider.Provider{
		Name: "botframework", Deadline: 14 * time.Second,
		Answers: provider.Answers{Accepted: provider.Answer{Status: 200}},
		Scheme: Scheme{
			Prefix: "Bearer ", Algorithms: []string{"RS256", "RS384", "RS512"},
			Keys:    &KeySet{URL: "https://login.botframework.com/v1/.well-known/openidconfiguration"},
			Issuers: []string{"https://api.botframework.com"}, Audiences: apps, Leeway: 5 * time.Minute,
			Check: checkActivity,
		},
		ID:      provider.Source{Hash: true},
		Payload: provider.Payload{ID: provider.Source{Path: []string{"id"}}, Type: provider.Source{Path: []string{"type"}}},
	}
}

// checkActivity compares an activity with its token.
func checkActivity(r *provider.Request, tokens []*Token) error {
	var activity struct {
		ServiceURL string `json:"serviceUrl"`
		ChannelID  string `json:"channelId"`
	}
	if err := unambiguous(r.Body); err != nil {
		return err
	}
	if json.Unmarshal(r.Body, &activity) != nil || activity.ServiceURL == "" {
		return errors.New("not an activity")
	}
	t := tokens[0]
	claimed := t.Claim("serviceurl")
	if claimed == "" {
		claimed = t.Claim("serviceUrl")
	}
	if claimed != activity.ServiceURL {
		return errors.New("another serviceUrl")
	}
	var key struct {
		Endorsements []string `json:"endorsements"`
	}
	if len(t.Key.JSON) > 0 && json.Unmarshal(t.Key.JSON, &key) == nil && len(key.Endorsements) > 0 && !slices.Contains(key.Endorsements, activity.ChannelID) {
		return errors.New("the key is not endorsed for the channel")
	}
	return nil
}

// MicrosoftGraph returns the Provider for change notifications of Microsoft Graph with resource
// data, which come with validation tokens. apps are the ids of the applications that have
// subscribed, and tenants the ids of their tenants. A secret is the clientState of a subscription,
// as for provider.MicrosoftGraph, which describes the rest.
//
// Every token must be valid, and there must be one for the tenant of each notification. A
// request without tokens is accepted by its clientState alone, unless a notification in it has
// encrypted content: Graph sends none with other notifications. The body is not protected. Its
// encrypted content is not decrypted.
// (https://learn.microsoft.com/graph/change-notifications-with-resource-data)
func MicrosoftGraph(apps, tenants []string, clientStates ...string) *provider.Provider {
	p := provider.MicrosoftGraph(clientStates...)
	s := entra(tenants, apps, []string{graphApp})
	s.Prefix, s.Path = "", "validationTokens"
	check := s.Check
	s.Check = func(r *provider.Request, tokens []*Token) error {
		return errors.Join(check(r, tokens), checkTenants(r, tokens))
	}
	p.Scheme = graphScheme{Scheme: s}
	return p
}

// graphScheme is a Scheme whose secrets are compared with each clientState.
type graphScheme struct{ Scheme }

func (g graphScheme) Custom() provider.Custom {
	c := g.Scheme.Custom()
	validate, verify := c.Validate, c.Verify
	c.Validate = func(secrets []string) error {
		var err error
		if len(secrets) == 0 {
			err = errors.New("no secret: use SetSecrets with the clientState of the subscriptions")
		}
		return errors.Join(err, validate(nil))
	}
	c.Verify = func(r *provider.Request, secrets []string) (int, error) {
		n, rich, err := notifications(r.Body)
		if err != nil {
			return -1, err
		}
		key := clientState(n, secrets)
		if key < 0 || !rich && decode.Field(r.Body, "validationTokens.0") == "" {
			return key, nil
		}
		if match, err := verify(r, nil); match < 0 || err != nil {
			return -1, err
		}
		return key, nil
	}
	c.Sign = nil
	return c
}

// A notification is an element of "value". Nothing in it is protected.
type notification struct {
	ClientState string          `json:"clientState"`
	TenantID    string          `json:"tenantId"`
	Encrypted   json.RawMessage `json:"encryptedContent"`
}

// notifications returns the notifications in a body, and whether one has encrypted content.
func notifications(body []byte) (list []notification, rich bool, err error) {
	var collection struct {
		Value []notification `json:"value"`
	}
	if err := unambiguous(body); err != nil {
		return nil, false, err
	}
	if json.Unmarshal(body, &collection) != nil || len(collection.Value) == 0 {
		return nil, false, errors.New("no notification in the body")
	}
	for _, n := range collection.Value {
		rich = rich || len(n.Encrypted) > 0
	}
	return collection.Value, rich, nil
}

// clientState returns the index of the secret that the last notification has, or -1 if any
// notification has none.
func clientState(list []notification, secrets []string) (found int) {
	for _, n := range list {
		found = -1
		sum := sha256.Sum256([]byte(n.ClientState))
		for i, s := range secrets {
			if want := sha256.Sum256([]byte(s)); subtle.ConstantTimeCompare(sum[:], want[:]) == 1 {
				found = i
			}
		}
		if found < 0 {
			return -1
		}
	}
	return found
}

// checkTenants requires a token for the tenant of each notification.
func checkTenants(r *provider.Request, tokens []*Token) error {
	list, _, err := notifications(r.Body)
	if err != nil {
		return err
	}
	for _, n := range list {
		if n.TenantID == "" || !slices.ContainsFunc(tokens, func(t *Token) bool { return t.Claim("tid") == n.TenantID }) {
			return errors.New("no token for the tenant of a notification")
		}
	}
	return nil
}

package provider

import "errors"

// Telegram returns the Provider for updates of Telegram's Bot API. A secret is the secret_token
// of setWebhook, not the token of the bot. Telegram repeats an update until it is answered with
// a 2xx, for a time that is not documented. The type of an event is that of the update, such as
// "message". The body is not protected.
// (https://core.telegram.org/bots/api#setwebhook)
func Telegram(secrets ...string) *Provider {
	p := &Provider{
		Name:    "telegram",
		Scheme:  telegramToken{Token{Header: "X-Telegram-Bot-Api-Secret-Token"}},
		ID:      path("update_id"),
		Payload: Payload{ID: path("update_id"), Type: path(`@keys.#(!="update_id")`)},
	}
	return p.with(secrets)
}

// telegramToken is a Token of the characters that Telegram allows. The token of a bot has a
// colon.
type telegramToken struct{ Token }

func (t telegramToken) newVerifier(secrets []secret) (verifier, error) {
	for _, s := range secrets {
		if len(s.text) > 256 || !isSecretToken(s.text) {
			return nil, s.wrap(errors.New("is not 1 to 256 of A-Z, a-z, 0-9, _ and -: use the secret_token of setWebhook, not the token of the bot"))
		}
	}
	return t.Token.newVerifier(secrets)
}

func isSecretToken(text string) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-':
		default:
			return false
		}
	}
	return true
}

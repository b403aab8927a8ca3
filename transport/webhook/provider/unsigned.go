package provider

import "errors"

// Unsigned is the scheme of a sender without authentication, or one that a proxy in front of
// the receiver has authenticated.
//
// # Security
//
// Anyone who reaches the receiver can send events.
type Unsigned struct{}

func (Unsigned) traits() traits { return traits{} }

func (Unsigned) newVerifier(secrets []secret) (verifier, error) {
	if len(secrets) > 0 {
		return nil, errors.New("Unsigned takes no secrets")
	}
	return Unsigned{}, nil
}

func (Unsigned) precheck(*Request) error { return nil }

func (Unsigned) verify(*Request) (match, error) { return match{key: -1}, nil }

func (Unsigned) sign(*Request, string) error { return nil }

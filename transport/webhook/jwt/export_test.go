package jwt

import (
	"crypto/x509"
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// PlayGraph replaces the client of the keys of a MicrosoftGraph.
func PlayGraph(p *provider.Provider, c *http.Client) {
	p.Scheme.(graphScheme).Keys.(*KeySet).Client = c
}

// VerifyChain verifies the certificates of a notification.
func (s AppStore) VerifyChain(chain []*x509.Certificate, at time.Time) error {
	return s.verifyChain(chain, at)
}

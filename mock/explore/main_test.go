package explore_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// readFrom returns what Read stores.
func readFrom(c transport.Conn) (m transport.Message, err error) {
	err = c.Read(&m)
	return m, err
}

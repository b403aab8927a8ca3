package storetest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/storetest"
	"github.com/steadfeed/steadfeed/mock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFileStore(t *testing.T) {
	dir := t.TempDir()
	storetest.Run(t, func(testing.TB) client.Store { return client.FileStore(dir) })
}

func TestMockStore(t *testing.T) {
	var store mock.Store
	storetest.Run(t, func(testing.TB) client.Store { return &store })
}

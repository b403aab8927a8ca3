package client_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(replicaFolder); dir != "" {
		runReplica(dir, os.Args[1] == "loop")
	}
	goleak.VerifyTestMain(m)
}

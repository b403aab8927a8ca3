package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An output calls stop after the given number of lines that contain what.
type output struct {
	strings.Builder
	what string
	left int
	stop context.CancelFunc
}

func (o *output) Write(p []byte) (int, error) {
	if strings.Contains(string(p), o.what) {
		if o.left--; o.left == 0 {
			o.stop()
		}
	}
	return o.Builder.Write(p)
}

// The second run resumes where the first one stopped, after a connection that broke.
func TestSecondRunResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, tt := range []struct {
			begin string
			left  int // events until it is interrupted
		}{{"from now on", 9}, {"resuming where we were", 1}} {
			ctx, cancel := context.WithCancel(t.Context())
			out := &output{what: "price", left: tt.left, stop: cancel}
			srv := mock.NewServer(new(feed))
			err := follow(ctx, &transport.HTTP{URL: srv.URL, Client: srv.Client(), IdleTimeout: time.Second}, out, dir, time.Minute)
			cancel()
			srv.Close()
			if err != nil {
				t.Fatalf("%v, after\n%s", err, out)
			}
			_, connected, _ := strings.Cut(out.String(), "connected")
			if !strings.HasPrefix(strings.TrimSpace(connected), tt.begin) || !strings.Contains(out.String(), "duplicates 0, missing 0\n") {
				t.Errorf("got\n%swant a start %s, no duplicates and nothing missing", out, tt.begin)
			}
		}
	})
}

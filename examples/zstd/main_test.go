package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	srv := mock.NewServer(feed(2, 0))
	defer srv.Close()
	sub, err := client.Subscribe(context.Background(), &transport.HTTP{
		URL:      "http://feed.example",
		Client:   srv.Client(),
		End:      transport.EndFeed,
		Decoders: map[string]func(io.Reader) (io.ReadCloser, error){"zstd": unzstd},
	}, nil)
	if err != nil {
		panic(err)
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			panic(err)
		}
		fmt.Println(string(ev.Data))
	}
	// Output:
	// {"event":0,"accepted":"gzip, zstd"}
	// {"event":1,"accepted":"gzip, zstd"}
}

// Time in the bubble passes only while every goroutine waits, so an event that was held back would
// arrive with the next one, or at the end.
func TestEventsArriveWhenFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := mock.NewServer(feed(3, 40*time.Second))
		defer srv.Close()
		var out strings.Builder
		if err := run(t.Context(), &out, "http://feed.example", srv.Client()); err != nil {
			t.Fatal(err)
		}
		want := ""
		for i, at := range []string{" 40.0 s", " 80.0 s", "120.0 s"} {
			want += fmt.Sprintf("%s  {\"event\":%d,\"accepted\":\"gzip, zstd\"}\n", at, i)
		}
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", &out, want)
		}
	})
}

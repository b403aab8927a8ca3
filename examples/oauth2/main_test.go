package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/mock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	srv := mock.NewServer(newServer(time.Hour))
	defer srv.Close()
	if err := run(context.Background(), os.Stdout, srv.URL, srv.Client(), 2); err != nil {
		fmt.Println(err)
	}
	// Output:
	// token 1
	//   event 1
	//   event 2
	// 2 events, none lost, none twice; tokens: 1
}

// No connection lives until its token expires.
func TestConnectionsAreReplacedBeforeTheirTokensExpire(t *testing.T) {
	for life, tokens := range map[time.Duration]int{15 * time.Second: 60, time.Hour: 1} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(life)
			srv := mock.NewServer(s)
			defer srv.Close()
			var out strings.Builder
			if err := run(t.Context(), &out, srv.URL, srv.Client(), 900); err != nil {
				t.Fatal(err)
			}
			_, summary, _ := strings.Cut(out.String(), "event 900\n")
			var events, took int
			fmt.Sscanf(summary, "%d events, none lost, none twice; tokens: %d", &events, &took)
			most := tokens * 76 / 60 // a connection lasts 12 to 13.5 seconds
			if events != 900 || took < tokens || took > most {
				t.Errorf("got %q, want 900 events and %d to %d tokens", summary, tokens, most)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.cut > 0 || s.most > 2 {
				t.Errorf("got %d connections cut off, %d at once, want none and at most 2", s.cut, s.most)
			}
		})
	}
}

// The first token is revoked: the next one is asked for.
func TestRevokedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(time.Hour)
		srv := mock.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer 1" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			s.ServeHTTP(w, r)
		}))
		defer srv.Close()
		if err := run(t.Context(), io.Discard, srv.URL, srv.Client(), 3); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.issued) != 2 {
			t.Errorf("got %d tokens issued, want 2", len(s.issued))
		}
	})
}

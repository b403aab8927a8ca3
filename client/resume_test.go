package client_test

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// compacted is the error of a feed that no longer knows a position and names the first one that it
// has, as etcd does with compact_revision in a watch response.
type compacted struct{ revision int }

func (c compacted) Error() string       { return "the revision is compacted" }
func (c compacted) RejectsToken() bool  { return true }
func (c compacted) ResumeAfter() string { return strconv.Itoa(c.revision - 1) }

var _ transport.PositionError = compacted{}

// compaction is an OnMessage that looks for such a response.
func compaction(m *transport.Message) error {
	m.Token = string(m.Data)
	var revision int
	if n, _ := fmt.Sscanf(string(m.Data), "compacted %d", &revision); n == 1 {
		return compacted{revision}
	}
	return nil
}

// The servers know the events from 50 on only. The next event carries the loss.
func TestResumeFromThePositionThatTheServerNames(t *testing.T) {
	serve := func(since string, send func(string) error) {
		n, _ := strconv.Atoi(since)
		if n < 49 {
			send("compacted 50")
			return
		}
		for i := n + 1; i <= 52; i++ {
			send(strconv.Itoa(i))
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/http", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		serve(r.URL.Query().Get("since"), func(s string) error {
			_, err := fmt.Fprintln(w, s)
			return err
		})
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		serve(r.URL.Query().Get("since"), func(s string) error {
			return c.Write(context.Background(), websocket.MessageText, []byte(s))
		})
		c.Close(websocket.StatusNormalClosure, "")
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	since := transport.ResumeQuery("since")
	for name, feed := range map[string]transport.Transport{
		"HTTP": &transport.HTTP{URL: srv.URL + "/http", Format: decode.Lines, Resume: since, OnMessage: compaction},
		"WebSocket": &transport.WebSocket{URL: "ws" + srv.URL[4:] + "/ws", Resume: since,
			OnMessage: func(_ *transport.Socket, m *transport.Message) error { return compaction(m) }},
	} {
		t.Run(name, func(t *testing.T) {
			sub := subscribe(t, feed, &client.Options{StartAfter: "7"})
			defer sub.Close()
			var got []string
			for len(got) < 3 {
				ev, err := sub.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				line := string(ev.Data)
				if g := ev.Gap; g != nil {
					line += fmt.Sprintf(" after a gap: %s from %s to %s", g.Reason, g.From, g.To)
				}
				got = append(got, line)
			}
			want(t, "events", got, []string{"50 after a gap: token rejected from 7 to 50", "51", "52"})
		})
	}
}

func TestNamedPositionThatIsRejectedIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &rejecting{}
		sub := subscribe(t, feed, &client.Options{StartAfter: "7"})
		time.Sleep(time.Hour)
		sub.Close()
		want(t, "tokens", feed.tokens, []string{"7", "49", ""})
	})
}

type rejecting struct{ tokens []string }

func (r *rejecting) Validate() error { return nil }

func (r *rejecting) Open(ctx context.Context, token string) (*transport.Session, error) {
	if r.tokens = append(r.tokens, token); token == "" {
		return deaf{}.Open(ctx, token)
	}
	return nil, compacted{50}
}

// The server resumes from a position, not after it, and several events without an id share a
// position. OnMessage sets an ID made from the content, and Dedupe drops exactly the events that
// are repeated.
func TestInclusiveCursorWithDedupe(t *testing.T) {
	feed := []string{"1 a", "2 a", "2 b", "2 c", "3 a", "3 b"}
	cuts := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		since := r.URL.Query().Get("since")
		sent := 0
		for _, line := range feed {
			if line[:1] < since {
				continue
			}
			fmt.Fprintln(w, line)
			if sent++; sent == 3 && line != "3 b" && cuts < 3 {
				cuts++
				return
			}
		}
	}))
	defer srv.Close()
	seed := maphash.MakeSeed()
	sub := subscribe(t, &transport.HTTP{
		URL: srv.URL, Format: decode.Lines, Resume: transport.ResumeQuery("since"),
		OnMessage: func(m *transport.Message) error {
			m.ID = strconv.FormatUint(maphash.Bytes(seed, m.Data), 36)
			return nil
		},
	}, &client.Options{Dedupe: 100, TokenOf: func(ev client.Event) string { return string(ev.Data[:1]) }})
	defer sub.Close()
	var got []string
	for len(got) < len(feed) {
		ev, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(ev.Data))
	}
	want(t, "events", got, feed)
	if n := sub.Stats().Duplicates; n == 0 {
		t.Error("Stats: got no duplicates, want some")
	}
}

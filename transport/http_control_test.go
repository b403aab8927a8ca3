package transport_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// expired is an error that says by its methods what follows.
type expired struct{}

func (expired) Error() string      { return "expired" }
func (expired) RejectsToken() bool { return true }

func TestControl(t *testing.T) {
	control := func(m *transport.Message) error {
		text := string(m.Data)
		switch {
		case text == "beat":
			m.Kind = decode.KindKeepalive
		case text == "mark":
			m.Kind, m.Token = decode.KindPosition, "5"
		case text == "notice":
			m.Gap = &transport.Gap{Reason: transport.Notice, Missed: 3}
		case text == "[DONE]":
			return fmt.Errorf("said %w", transport.ErrEnd)
		case text == "reconnect":
			return io.EOF
		case text == "expired":
			return expired{}
		case text == "lost":
			m.Gap = &transport.Gap{Reason: transport.Notice}
			return expired{}
		case strings.HasPrefix(text, "wrapped "):
			m.Data, m.Type, m.ID = m.Data[len("wrapped "):], "cut", "7"
		}
		return nil
	}
	for _, tt := range []struct {
		name, body string
		method     string
		want       []string // messages
		end        error
	}{
		{"changes", "a\n\nbeat\nmark\nnotice\nwrapped b\n", "", []string{"data a", "keepalive", "keepalive beat", "position mark 5", "data notice, notice", "data b 7 cut"}, io.EOF},
		{"complete", "a\n[DONE]\nb\n", "", []string{"data a"}, transport.ErrEnd},
		{"complete reply", "a\n[DONE]\nb\n", "POST", []string{"data a"}, transport.ErrEnd},
		{"reconnect", "a\nreconnect\nb\n", "", []string{"data a"}, io.EOF},
		{"rejected", "expired\nb\n", "", nil, expired{}},
		{"a loss is said before", "lost\nb\n", "", []string{"keepalive, notice"}, expired{}},
		{"a bad frame is said before", "this line is too long\nexpired\nb\n", "", []string{"keepalive, bad frame"}, expired{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, tt.body) })
			feed := &transport.HTTP{
				URL: srv.URL, Method: tt.method, Format: decode.Lines{}, Control: control,
				MaxFrame: 12, OnBadFrame: func(*decode.FrameError) {},
			}
			conn := open(t, feed, "")
			var got []string
			for range tt.want {
				got = append(got, describe(read(t, conn)))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q\nwant %q", got, tt.want)
			}
			for range 2 {
				if err := readError(t, conn); !errors.Is(err, tt.end) {
					t.Errorf("the end is %v, want %v", err, tt.end)
				}
			}
		})
	}
}

// The reply to a request is not asked for again, whatever Control says to it.
func TestControlOfAReply(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a\n") })
	conn := open(t, &transport.HTTP{
		URL: srv.URL, Method: "POST", Format: decode.Lines{}, Control: func(*transport.Message) error { return expired{} },
	}, "")
	if err := readError(t, conn); retryable(err) != "false" || !errors.Is(err, expired{}) {
		t.Errorf("%v: retryable is %s", err, retryable(err))
	}
}

// A Message of Control's own loses no gap, and leaves nothing in the next message.
func TestControlWritesAMessage(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "this line is too long\na\nb\n") })
	conn := open(t, &transport.HTTP{
		URL: srv.URL, Format: decode.Lines{}, MaxFrame: 12, OnBadFrame: func(*decode.FrameError) {},
		Control: func(m *transport.Message) error {
			if string(m.Data) == "a" {
				*m = transport.Message{Data: m.Data, Attempt: 3}
			}
			return nil
		},
	}, "")
	var m transport.Message // one for all, as the client has it
	for _, want := range []string{"data a, bad frame, attempt 3", "data b, attempt 0"} {
		if err := conn.Read(&m); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s, attempt %d", describe(m), m.Attempt); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func describe(m transport.Message) string {
	kind := map[decode.Kind]string{decode.KindData: "data", decode.KindKeepalive: "keepalive", decode.KindPosition: "position"}[m.Kind]
	parts := slices.DeleteFunc([]string{kind, string(m.Data), cmp.Or(m.ID, m.Token), m.Type}, func(s string) bool { return s == "" })
	text := strings.Join(parts, " ")
	if m.Gap != nil {
		text += ", " + string(m.Gap.Reason)
	}
	return text
}

package transport_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// apart splits a reply of Centrifugo with recovered publications, each with its own position (https://centrifugal.dev/docs/transports/client_protocol: recovered, publications).
func apart(m *transport.Message) {
	var reply struct {
		Recovered    *bool
		Publications []struct {
			Offset int
			Data   json.RawMessage
		}
	}
	if json.Unmarshal(m.Data, &reply) != nil || reply.Recovered == nil {
		return
	}
	if !*reply.Recovered {
		m.Gap = &transport.Gap{Reason: transport.GapNotice, Missed: 1}
	}
	m.Parts = []transport.Message{}
	for _, p := range reply.Publications {
		part := transport.Message{Data: p.Data, ID: fmt.Sprint(p.Offset), Type: "recovered"}
		if p.Offset == 7 {
			part.Gap = &transport.Gap{Reason: transport.GapNotice, Missed: 2}
		}
		m.Parts = append(m.Parts, part)
	}
}

var replies = []string{
	`{"recovered":true,"publications":[{"offset":1,"data":"a"},{"offset":2,"data":"b"},{"offset":7,"data":"c"}]}`,
	`"between"`,
	`{"recovered":false,"publications":[]}`,
	`{"recovered":false,"publications":[{"offset":7,"data":"d"}]}`,
	`"last"`,
}

const partsWanted = `
data "a" of recovered 1
data "b" of recovered 2
data "c" of recovered 7 gap 2
data "between" of  
keepalive gap 1
data "d" of recovered 7 gap 3
data "last" of  `

func heardParts(t *testing.T, conn transport.Conn, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		m := read(t, conn)
		switch m.Kind {
		case decode.KindData:
			fmt.Fprintf(&b, "\ndata %s of %s %s", m.Data, m.Type, m.ID)
		case decode.KindKeepalive:
			b.WriteString("\nkeepalive")
		default:
			fmt.Fprintf(&b, "\n%v", m.Kind)
		}
		if m.Gap != nil {
			fmt.Fprintf(&b, " gap %d", m.Gap.Missed)
		}
		if m.Parts != nil {
			t.Errorf("message %d: got Parts %v, want none", i, m.Parts)
		}
		if i < 2 && !m.More {
			t.Errorf("message %d: got More false, want true: another part follows", i)
		}
	}
	return b.String()
}

func TestPartsOfWebSocketMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say(replies...)
			p.wait()
		})
		seen := 0
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			seen++
			apart(m)
			return nil
		}
		got := heardParts(t, openSocket(t, w, ""), 7)
		if got != partsWanted || seen != len(replies) {
			t.Errorf("OnMessage got %d messages, want %d; got%s\nwant%s", seen, len(replies), got, partsWanted)
		}
	})
}

func TestPartsOfHTTPEvents(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		feed(w, strings.Join(replies, "\n")+"\n")
		<-r.Context().Done()
	})
	seen := 0
	h := &transport.HTTP{URL: srv.URL, OnMessage: func(m *transport.Message) error {
		seen++
		apart(m)
		return nil
	}}
	got := heardParts(t, open(t, h, ""), 7)
	if got != partsWanted || seen != len(replies) {
		t.Errorf("OnMessage got %d events, want %d; got%s\nwant%s", seen, len(replies), got, partsWanted)
	}
}

// Format splits each part, as it splits a message.
func TestPartsWithFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say("x")
			p.wait()
		})
		w.Format = decode.JSONArray
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			m.Parts = []transport.Message{{Data: []byte(`[1,2]`), ID: "a"}, {Data: []byte(`[3]`), ID: "b"}}
			return nil
		}
		conn := openSocket(t, w, "")
		for _, want := range []string{"1 ", "2 a", "3 b"} {
			m := read(t, conn)
			if got := string(m.Data) + " " + m.ID; got != want || m.More != (want != "3 b") {
				t.Errorf("got %q, more %v, want %q", got, m.More, want)
			}
		}
	})
}

// A Gap that OnMessage returns repeatedly is not changed.
func TestGapIsNotChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say("junk\x1e{}\n", "junk\x1e{}\n")
			p.wait()
		})
		w.Format = decode.JSONSeq
		w.OnBadFrame = func(*decode.FrameError) {}
		lost := &transport.Gap{Reason: transport.GapNotice, Missed: 5}
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			m.Gap = lost
			return nil
		}
		conn := openSocket(t, w, "")
		for range 2 {
			if m := read(t, conn); m.Gap == nil || m.Gap.Missed != 6 || lost.Missed != 5 {
				t.Errorf("got gap %+v, want 6 missed; that of OnMessage is %+v", m.Gap, *lost)
			}
		}
	})
}

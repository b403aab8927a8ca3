package record_test

import (
	"bytes"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/record"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/transporttest"
)

// A recorded Transport keeps the contract.
func TestConformance(t *testing.T) {
	transporttest.RunInBubble(t, func(t testing.TB, s transporttest.Script) transport.Transport {
		var script []mock.Step
		for _, e := range s.Events {
			script = append(script, mock.Pause(e.Pause), mock.Event(e.Token, e.Data))
		}
		switch s.Ending {
		case transporttest.EndingClean:
			script = append(script, mock.End())
		case transporttest.EndingCut:
			script = append(script, mock.Drop())
		case transporttest.EndingPartial:
			script = append(script, mock.Malformed([]byte("data: ")), mock.End())
		case transporttest.EndingComplete:
			script = append(script, mock.Complete())
		}
		srv := mock.NewServer(mock.NewFeed(script...).Handler(decode.SSE{}))
		t.Cleanup(func() { srv.Close() })
		h := &transport.HTTP{URL: "http://feed.test", Client: srv.Client()}
		if s.Misconfigured {
			h.URL = "feed.test"
		}
		switch s.Dial {
		case transporttest.DialSilent:
			return nil
		case transporttest.DialRefused:
			h.URL += ":9"
		}
		var out bytes.Buffer
		t.Cleanup(func() {
			if out.Len() == 0 {
				return // there was no connection
			}
			if _, err := record.Replay(&out, 0); err != nil {
				t.Errorf("%v in:\n%s", err, &out)
			}
		})
		return record.Transport(h, &out, nil)
	})
}

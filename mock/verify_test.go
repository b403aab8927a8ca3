package mock_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/transport"
)

// reports is a mock.TB that keeps what is reported.
type reports []string

func (r *reports) Errorf(format string, args ...any) { *r = append(*r, fmt.Sprintf(format, args...)) }

// letters returns a feed that has sent the events 1 to n, with letters as data, and a drop after
// the third.
func letters(t *testing.T, n int) *mock.Feed {
	feed := mock.NewFeed()
	for i := 1; i <= n; i++ {
		feed.Publish(mock.Event(fmt.Sprint(i), string(rune('a'+i-1))))
		if i == 3 {
			feed.Publish(mock.Drop())
		}
	}
	feed.Publish(mock.Complete())
	playOut(t, feed)
	return feed
}

// playOut plays the script of the feed to its end.
func playOut(t *testing.T, feed *mock.Feed) {
	for {
		c, err := feed.Open(t.Context(), "")
		for err == nil {
			_, err = wiretest.ReadFrom(c)
		}
		if err == transport.ErrComplete {
			return
		}
	}
}

// see returns what a consumer received, written as in "1 2 ~5": an id for each event, after a
// tilde if it has a Gap. A lone tilde is a Gap at the end. A letter is data without an id.
func see(events string) *mock.Observed {
	seen := new(mock.Observed)
	for _, id := range strings.Fields(events) {
		var gap *transport.Gap
		id, lossy := strings.CutPrefix(id, "~")
		if lossy {
			gap = &transport.Gap{Reason: transport.GapTokenRejected}
		}
		data := []byte(nil)
		if id >= "a" {
			id, data = "", []byte(id)
		}
		seen.Add(id, data, gap)
	}
	return seen
}

func TestVerify(t *testing.T) {
	for _, tt := range []struct {
		seen   string
		fields string // fields of the Observed that are set
		want   string // beginning of the report; empty if there is none
	}{
		{"1 2 3 4 5", "Once", ""},
		{"a b c d e", "Once", ""},
		{"1 2 3 4 5 4 5", "", ""},
		{"1 2 3 2 3 4 5", "", ""},
		{"5 4 3 2 1", "Once Unordered", ""},
		{"1 5", "Once Lossy", ""},
		{"1 2 ~5", "Once", ""},
		{"1 2 3 4 ~", "Once Unordered", ""},
		{"~ 1 2 3 4 5", "Once Unordered", ""},
		{"~2 3 4 5", "Once Unordered", ""},
		{"1 2 4 5", "Unordered", "1 missing"},
		{"", "Unordered", "5 missing"},
		{"1 2 4 ~5", "Unordered", "1 missing"},
		{"1 ~3 5", "Unordered", "1 missing"},
		{"1 ~2 3 4", "Unordered", "1 missing"},
		{"1 2 3 3 4 5", "Once Unordered", "1 seen again"},
		{"a a b c d e", "Once Unordered", "1 seen again"},
		{"1 3 2 4 5", "Lossy", "1 out of order"},
		{"1 3 2 3 2 4 5", "Lossy", "1 out of order"},
		{"1 2 ~5 3 4", "Once", ""},
		{"1 4 1 3", "Lossy", "1 out of order"},
		{"1 2 3 4 5 6", "Once Unordered", "1 never sent"},
		{"1 2 3 4 5 x", "Lossy Unordered", "1 never sent"},
		{"1 5 4 4 9", "Once", "2 missing, 1 seen again, 1 out of order, 1 never sent"},
	} {
		var r reports
		seen := see(tt.seen)
		seen.Lossy = strings.Contains(tt.fields, "Lossy")
		seen.Unordered = strings.Contains(tt.fields, "Unordered")
		seen.Once = strings.Contains(tt.fields, "Once")
		letters(t, 5).Verify(&r, seen)
		switch {
		case tt.want == "" && r != nil:
			t.Errorf("%q, %s: got report %s, want none", tt.seen, tt.fields, r[0])
		case tt.want != "" && (len(r) != 1 || !strings.HasPrefix(r[0], "mock: consumer did not receive what the feed sent: "+tt.want+"\n")):
			t.Errorf("%q, %s: got reports %q, want %q", tt.seen, tt.fields, r, tt.want)
		}
	}
}

func TestVerifyShowsTheDifference(t *testing.T) {
	feed := letters(t, 26)
	seen := see("1 2 3 6 7 8 9 10 11 12 7 13 zz 14 15 16 18 17 19 20 21 22 23 24 25")
	seen.Add("26", []byte("other"), nil)
	var r reports
	seen.Once = true
	feed.Verify(&r, seen)
	const want = `mock: consumer did not receive what the feed sent: 2 missing, 1 seen again, 1 out of order, 1 never sent, 1 with other data
  ...
  3 'c'
  (drop)
- 4 'd'                          missing
- 5 'e'                          missing
  6 'f'
  7 'g'
  ...
  11 'k'
  12 'l'
+ 7 'g'                          again
  13 'm'
+ 'zz'                           never sent
  14 'n'
  15 'o'
  ...
  17 'q'
  18 'r'
+ 17 'q'                         out of order
  19 's'
  20 't'
  ...
  25 'y'
  26 'z'
+ 26 'other'                     not the data that was sent
  (complete)
`
	if len(r) != 1 || strings.ReplaceAll(r[0], "`", "'") != want {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(r, "\n"), want)
	}
}

// A Gap that comes with a position belongs to the next event.
func TestVerifyGapOnAPosition(t *testing.T) {
	feed := mock.NewFeed(mock.Event("1", "a"), wiretest.Position("p"), mock.Event("2", "b"), mock.Event("3", "c"), mock.Complete())
	playOut(t, feed)
	for _, tt := range []struct {
		last string
		want int
	}{{"3", 0}, {"", 0}, {"1", 2}} {
		seen := see("1")
		seen.Add("", []byte(`{"id":"p"}`), &transport.Gap{})
		if tt.last != "" {
			seen.Add(tt.last, nil, nil)
		}
		var r reports
		feed.Verify(&r, seen)
		if tt.want == 0 && r != nil || tt.want > 0 && (len(r) != 1 || !strings.Contains(r[0], fmt.Sprint(tt.want, " missing"))) {
			t.Errorf("last event %q: got %q, want %d missing", tt.last, r, tt.want)
		}
	}
}

func TestObservedCopiesData(t *testing.T) {
	feed := letters(t, 1)
	var seen mock.Observed
	data := []byte("a")
	seen.Add("1", data, nil)
	data[0] = 'b'
	feed.Verify(t, &seen)
}

func TestVerifyReportIsShort(t *testing.T) {
	feed := mock.NewFeed()
	for i := range 1000 {
		feed.Publish(mock.Event(fmt.Sprint(i), strings.Repeat("x", 1000)))
	}
	feed.Publish(mock.Complete())
	playOut(t, feed)
	var r reports
	feed.Verify(&r, new(mock.Observed))
	if len(r) != 1 || len(r[0]) > 8000 || !strings.Contains(r[0], "1000 missing") || !strings.HasSuffix(r[0], "... and more\n") {
		t.Errorf("got %d bytes, want at most 8000: %.300s", len(r[0]), r[0])
	}
}

// A change that the wire makes to the data is no difference, and a repeated event is one event.
func TestVerifyOnEveryWire(t *testing.T) {
	for name, wire := range wiretest.Wires {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(
				mock.Event("1", "two\r\nlines"), mock.Event("2", "{\n\"id\":\"2\"}"), mock.Event("2", "again"), mock.Event("", ""),
				mock.Frame(decode.Frame{ID: "3", Type: "update", Data: []byte("text")}), wiretest.Position("p"), wiretest.Position(""), mock.Event("", "twin"), mock.Event("", "twin"), mock.Complete(),
			)
			seen := mock.Observed{Once: true}
			c := wiretest.Open(t, wire(t, feed), "")
			for m, err := wiretest.ReadFrom(c); err == nil; m, err = wiretest.ReadFrom(c) {
				if m.Kind == decode.KindData && string(m.Data) != "again" && !strings.Contains(string(m.Data), `"again"`) {
					seen.Add(m.ID, m.Data, m.Gap)
				}
			}
			feed.Verify(t, &seen)
			if t.Failed() {
				t.Log(name)
			}
			c.Close()
		})
	}
}

func TestObservedAddIsConcurrent(t *testing.T) {
	feed := letters(t, 26)
	seen := mock.Observed{Once: true, Unordered: true}
	var all sync.WaitGroup
	for i := 1; i <= 26; i++ {
		all.Go(func() { seen.Add(fmt.Sprint(i), nil, nil) })
	}
	all.Wait()
	feed.Verify(t, &seen)
}

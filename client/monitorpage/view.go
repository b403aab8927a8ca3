package monitorpage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/retry"
)

const perPage = 100

// A query is what a request asks for.
type query struct {
	Q, Health, Sort string
	Page            int
	ID              uint64
}

func parseQuery(v url.Values) query {
	q := query{Q: v.Get("q"), Health: v.Get("health"), Sort: v.Get("sort")}
	q.Page, _ = strconv.Atoi(v.Get("page"))
	q.ID, _ = strconv.ParseUint(v.Get("id"), 10, 64)
	if _, ok := orders[strings.TrimPrefix(q.Sort, "-")]; !ok {
		q.Sort = "health"
	}
	return q
}

// link returns the address of the list with another order and page.
func (q query) link(sort string, page int) string {
	v := url.Values{}
	set := func(key, value, standard string) {
		if value != standard {
			v.Set(key, value)
		}
	}
	set("q", q.Q, "")
	set("health", q.Health, "")
	set("sort", sort, "health")
	set("page", strconv.Itoa(page), "1")
	return "?" + v.Encode()
}

// A view is what the page shows. Its JSON is what programs get.
type view struct {
	Time    time.Time      `json:"time"`
	Total   int            `json:"total"`   // subscriptions
	Matches int            `json:"matches"` // of them, by q and health
	Page    int            `json:"page,omitempty"`
	Pages   int            `json:"pages,omitempty"`
	Healths map[string]int `json:"healths"`
	List    []*item        `json:"subscriptions,omitempty"`
	One     *item          `json:"subscription,omitempty"`
	query   query
	actions bool
}

// An item is a subscription. Durations are in seconds.
type item struct {
	ID             uint64            `json:"id"`
	Name           string            `json:"name"`
	Source         string            `json:"source"`
	Health         string            `json:"health"`
	HealthSince    time.Time         `json:"health_since,omitzero"` // unless it is "ok"
	State          string            `json:"state"`
	Since          time.Time         `json:"since,omitzero"`
	NextAttempt    time.Time         `json:"next_attempt,omitzero"`
	Started        time.Time         `json:"started"`
	Closed         bool              `json:"closed,omitempty"`
	Received       uint64            `json:"received"`
	ReceivedBytes  uint64            `json:"received_bytes"`
	Keepalives     uint64            `json:"keepalives"`
	LastEvent      time.Time         `json:"last_event,omitzero"`
	LastMessage    time.Time         `json:"last_message,omitzero"`
	Skipped        uint64            `json:"skipped"`
	Duplicates     uint64            `json:"duplicates"`
	Acked          uint64            `json:"acked"`
	Nacked         uint64            `json:"nacked"`
	Rate           float64           `json:"events_per_second"`
	Lag            float64           `json:"lag_seconds"`
	Buffered       int               `json:"buffered"`
	BufferedBytes  int               `json:"buffered_bytes"`
	MaxBuffered    int               `json:"max_buffered"`
	MaxBytes       int               `json:"max_buffered_bytes"`
	Oldest         time.Time         `json:"oldest_received,omitzero"`
	OldestID       string            `json:"oldest_id,omitempty"`
	OldestAttempt  int               `json:"oldest_attempt,omitempty"`
	OldestSince    time.Time         `json:"oldest_since,omitzero"`
	Connections    uint64            `json:"connections"`
	Connected      time.Time         `json:"last_connected,omitzero"`
	Handovers      uint64            `json:"handovers"`
	Failures       uint64            `json:"failures"`
	ByClass        map[string]uint64 `json:"failures_by_class,omitempty"`
	Outage         time.Time         `json:"outage_since,omitzero"`
	OutageFailures int               `json:"outage_failures,omitempty"`
	Gaps           uint64            `json:"gaps"`
	Repaired       uint64            `json:"gaps_repaired"`
	Missed         uint64            `json:"missed"`
	LastGap        time.Time         `json:"last_gap,omitzero"`
	Dropped        uint64            `json:"dropped"`
	DeadLettered   uint64            `json:"dead_lettered"`
	LastError      string            `json:"last_error,omitempty"`
	LastErrorTime  time.Time         `json:"last_error_time,omitzero"`
	LastSave       time.Time         `json:"checkpoint_saved,omitzero"`
	SaveErrors     uint64            `json:"checkpoint_errors,omitempty"`
	Epoch          uint64            `json:"epoch,omitempty"`
	LeaseUntil     time.Time         `json:"lease_until,omitzero"`
	Timeline       []change          `json:"timeline,omitempty"` // the newest first
	History        []sample          `json:"history,omitempty"`
	Stacks         []string          `json:"stacks,omitempty"` // of its goroutines, if it is stuck
	lag            time.Duration
	rank           int
}

// A change is a client.Transition.
type change struct {
	Time   time.Time `json:"time"`
	Last   time.Time `json:"last"`
	Count  int       `json:"count"`
	State  string    `json:"state"`
	Reason string    `json:"reason"`
	Class  string    `json:"class,omitempty"`
	Delay  float64   `json:"delay_seconds,omitempty"`
	delay  time.Duration
}

// A sample is a client.Sample.
type sample struct {
	Time     time.Time `json:"time"`
	Rate     float64   `json:"events_per_second"`
	Lag      float64   `json:"lag_seconds"`
	Buffered int       `json:"buffered"`
}

// healths are the values of item.Health, the worst first.
var healths = []string{"failed", "stuck", "outage", "checkpoint", "full", "paused", "ok", "ended"}

const lastIll = 3 // in healths

func healthOf(s *client.Snapshot) int {
	name := "ok"
	switch {
	case s.State == client.StateEnded && s.Err != nil && !isDeliberate(s.Err, s.Closed):
		name = "failed"
	case s.Closed || s.State == client.StateEnded && s.Buffered == 0:
		name = "ended"
	case s.Subscription != nil && s.Subscription.Healthy() != nil:
		name = "stuck"
	case isOut(s) || s.State == client.StateBackfilling && s.Err != nil:
		name = "outage"
	case s.ConsecutiveSaveErrors > 0:
		name = "checkpoint"
	case s.State == client.StateFull:
		name = "full"
	case s.State == client.StatePaused:
		name = "paused"
	}
	return slices.Index(healths, name)
}

// isOut reports whether the feed does not work. A connection that ends and is replaced at once is no
// reason to look.
func isOut(s *client.Snapshot) bool {
	return !s.Outage.IsZero() && (s.OutageFailures > 1 || time.Since(s.Outage) > 10*time.Second)
}

// healthSince returns since when the health is that; zero for "ok".
func healthSince(health string, s *client.Snapshot) time.Time {
	switch {
	case health == "ok":
		return time.Time{}
	case health == "stuck":
		return s.OldestSince
	case health == "outage" && !s.Outage.IsZero():
		return s.Outage
	case health == "checkpoint" && !s.LastSave.IsZero():
		return s.LastSave
	case health == "checkpoint":
		return s.Started
	}
	return s.Since
}

// isDeliberate reports whether a subscription has ended because the program wanted it.
func isDeliberate(err error, closed bool) bool {
	return errors.Is(err, client.ErrClosed) || errors.Is(err, context.Canceled) || closed && err.Error() == context.Canceled.Error()
}

func newItem(s *client.Snapshot) *item {
	i := &item{ID: s.ID, Name: s.Name, Source: s.Source, State: s.State.String(), Since: s.Since, NextAttempt: s.NextAttempt,
		Started: s.Started, Closed: s.Closed, Rate: s.Rate, Lag: s.Lag.Seconds(), lag: s.Lag,
		Received: s.Received, ReceivedBytes: s.ReceivedBytes, Keepalives: s.Keepalives, LastEvent: s.LastEvent,
		LastMessage: s.LastMessage, Skipped: s.Skipped, Duplicates: s.Duplicates, Acked: s.Acked, Nacked: s.Nacked,
		Buffered: s.Buffered, BufferedBytes: s.BufferedBytes, MaxBuffered: s.MaxBuffered, MaxBytes: s.MaxBufferedBytes, Oldest: s.Oldest, OldestID: s.OldestID,
		OldestAttempt: s.OldestAttempt, OldestSince: s.OldestSince, Connections: s.Connections, Connected: s.Connected,
		Handovers: s.Handovers, Outage: s.Outage, OutageFailures: s.OutageFailures, Gaps: s.Gaps, Repaired: s.Repaired,
		Missed: s.Missed, LastGap: s.LastGap, Dropped: s.Dropped, DeadLettered: s.DeadLettered, LastSave: s.LastSave,
		Epoch: s.Epoch, LeaseUntil: s.LeaseUntil,
		SaveErrors: s.SaveErrors}
	i.rank = healthOf(s)
	i.Health = healths[i.rank]
	i.HealthSince = healthSince(i.Health, s)
	for class, n := range s.Disconnects {
		if i.ByClass == nil {
			i.ByClass = make(map[string]uint64, len(s.Disconnects))
		}
		i.ByClass[class.String()] = n
		i.Failures += n
	}
	if s.LastErr != nil {
		i.LastError, i.LastErrorTime = describe(s.LastErr, s.LastErrClass), s.LastErrTime
	}
	return i
}

// describe returns what is known about err without its text, which may hold what a server or the
// program has put there.
func describe(err error, class retry.Class) string {
	text := class.String()
	var status interface{ StatusCode() int }
	var slow interface{ Timeout() bool }
	var dns *net.DNSError
	switch {
	case errors.As(err, &status):
		return text + ": status " + strconv.Itoa(status.StatusCode())
	case errors.As(err, &dns):
		return text + ": host not resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return text + ": connection refused"
	case errors.Is(err, syscall.ECONNRESET):
		return text + ": connection reset"
	case errors.As(err, &slow) && slow.Timeout():
		return text + ": timeout"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return text + ": cut off"
	case errors.Is(err, io.EOF):
		return text + ": ended by the server"
	}
	return text
}

// addDetails adds what only the page of one subscription shows.
func (i *item) addDetails(s *client.Snapshot) {
	for _, t := range slices.Backward(s.Timeline) {
		c := change{Time: t.Time, Last: t.Last, Count: t.Count, State: t.State.String(), Reason: t.Reason, Delay: t.Delay.Seconds(), delay: t.Delay}
		if t.Err != "" && (t.Delay > 0 || t.State == client.StateEnded) { // a failure of the connection
			c.Class = t.Class.String()
		}
		i.Timeline = append(i.Timeline, c)
	}
	for _, h := range s.History {
		i.History = append(i.History, sample{Time: h.Time, Rate: h.Rate, Lag: h.Lag.Seconds(), Buffered: h.Buffered})
	}
}

// view returns what q asks for, or nil if there is no such subscription.
func (p *Page) view(q query) *view {
	v := &view{Time: time.Now(), query: q, actions: p.Actions, Healths: make(map[string]int)}
	if q.ID != 0 {
		s, ok := p.Monitor.Lookup(q.ID)
		if !ok {
			return nil
		}
		one := newItem(&s)
		one.addDetails(&s)
		if one.Health == "stuck" {
			one.Stacks = stacksOf(one.Name)
		}
		v.One, v.Total, v.Matches = one, 1, 1
		v.Healths[one.Health] = 1
		return v
	}
	all := p.Monitor.Snapshots()
	list := make([]*item, 0, len(all))
	needle := strings.ToLower(q.Q)
	for n := range all {
		i := newItem(&all[n])
		v.Healths[i.Health]++
		fits := q.Health == "" || q.Health == i.Health || q.Health == "ill" && i.IsIll()
		if fits && strings.Contains(strings.ToLower(i.Label()), needle) {
			list = append(list, i)
		}
	}
	sortItems(list, q.Sort)
	v.Total, v.Matches = len(all), len(list)
	v.Pages = max(1, (len(list)+perPage-1)/perPage)
	v.Page = min(max(1, q.Page), v.Pages)
	first := (v.Page - 1) * perPage
	v.List = list[first:min(len(list), first+perPage)]
	return v
}

// orders compare two subscriptions by what stands in a column. The one that deserves a look is first.
var orders = map[string]func(a, b *item) int{
	"health":     func(a, b *item) int { return cmp.Compare(a.rank, b.rank) },
	"name":       func(a, b *item) int { return cmp.Compare(a.Name, b.Name) },
	"state":      func(a, b *item) int { return cmp.Compare(a.State, b.State) },
	"since":      func(a, b *item) int { return b.Since.Compare(a.Since) },
	"rate":       func(a, b *item) int { return cmp.Compare(b.Rate, a.Rate) },
	"lag":        func(a, b *item) int { return cmp.Compare(b.lag, a.lag) },
	"buffer":     func(a, b *item) int { return cmp.Compare(b.Buffered, a.Buffered) },
	"oldest":     func(a, b *item) int { return compareKnown(a.Oldest, b.Oldest) },
	"failures":   func(a, b *item) int { return cmp.Compare(b.Failures, a.Failures) },
	"gaps":       func(a, b *item) int { return cmp.Or(cmp.Compare(b.Missed, a.Missed), cmp.Compare(b.Gaps, a.Gaps)) },
	"checkpoint": func(a, b *item) int { return compareKnown(a.LastSave, b.LastSave) },
}

// compareKnown compares two times; the zero time is the last.
func compareKnown(a, b time.Time) int {
	if a.IsZero() || b.IsZero() {
		return b.Compare(a)
	}
	return a.Compare(b)
}

func sortItems(list []*item, by string) {
	by, reverse := strings.CutPrefix(by, "-")
	order := orders[by]
	sign := 1
	if reverse {
		sign = -1
	}
	slices.SortStableFunc(list, func(a, b *item) int { return sign * order(a, b) }) // they are sorted by name
}

// span returns a duration for people.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d == 0:
		return "0"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}

// size returns a number of bytes for people.
func size[N int | uint64](n N) string {
	f, unit := float64(n), 0
	for ; f >= 1000 && unit < 4; unit++ {
		f /= 1000
	}
	return fmt.Sprintf("%.3g %s", f, [...]string{"B", "kB", "MB", "GB", "TB"}[unit])
}

// count returns a number with thousands separated.
func count[N int | uint64](n N) string {
	text := strconv.FormatUint(uint64(n), 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

package monitorpage

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A cell is a value in the list or a fact on the page of one subscription. An Empty one needs no
// attention: it is zero or unknown.
type cell struct {
	Title, Text, Note string
	Empty, Warn       bool
}

// A card is a group of facts.
type card struct {
	Title string
	Facts []cell
}

// counted returns a cell for a count.
func counted(title string, n uint64) cell { return cell{Title: title, Text: count(n), Empty: n == 0} }

// lost is counted for what should not happen.
func lost(title string, n uint64) cell {
	c := counted(title, n)
	c.Warn = n > 0
	return c
}

// aged returns a cell for the time since t.
func (v *view) aged(title string, t time.Time, after string) cell {
	if t.IsZero() {
		return cell{Title: title, Text: "–", Empty: true}
	}
	return cell{Title: title, Text: v.Ago(t) + after}
}

func (c cell) note(format string, args ...any) cell {
	c.Note = fmt.Sprintf(format, args...)
	return c
}

func (i *item) rate(title string) cell {
	return cell{Title: title, Text: i.RateText(), Empty: i.Rate == 0}
}
func (i *item) delay(title string) cell {
	return cell{Title: title, Text: i.LagText(), Empty: i.lag == 0}
}

// IllFor returns since when a subscription is not well.
func (v *view) IllFor(i *item) string {
	if i.HealthSince.IsZero() {
		return ""
	}
	return "for " + v.Ago(i.HealthSince)
}

// Why returns the error that the health is because of.
func (i *item) Why() string {
	if i.Health == "failed" || i.Health == "outage" {
		return i.LastError
	}
	return ""
}

// Cells returns the columns of numbers, in the order of Headings.
func (v *view) Cells(i *item) []cell {
	oldest := v.aged("oldest", i.Oldest, "")
	if i.OldestAttempt > 1 {
		oldest = oldest.note("attempt %d", i.OldestAttempt)
	}
	gaps := counted("gaps", i.Gaps)
	if i.Missed > 0 {
		gaps.Warn = true
		gaps = gaps.note("%s missed", count(i.Missed))
	}
	saved := v.aged("saved", i.LastSave, "")
	saved.Warn = i.Health == "checkpoint"
	return []cell{v.aged("since", i.Since, ""), i.rate("events/s"), i.delay("lag"), counted("buffer", uint64(i.Buffered)),
		oldest, counted("failures", i.Failures), gaps, saved}
}

// Cards returns what is known of the one subscription.
func (v *view) Cards() []card {
	i := v.One
	return []card{
		{"Connection", v.connection(i)},
		{"Events", []cell{
			i.rate("Events per second"),
			counted("Received", i.Received).note("%s", size(i.ReceivedBytes)),
			v.aged("Last event", i.LastEvent, " ago"),
			v.aged("Last message", i.LastMessage, " ago"),
			i.delay("Lag when received"),
			counted("Keepalives", i.Keepalives),
			counted("Skipped", i.Skipped),
			counted("Duplicates", i.Duplicates),
		}},
		{"Consumer", v.consumer(i)},
		{"Position and losses", v.position(i)},
	}
}

func (v *view) connection(i *item) []cell {
	failures := counted("Failures", i.Failures)
	var classes []string
	for class, n := range i.ByClass {
		classes = append(classes, fmt.Sprintf("%s %s", class, count(n)))
	}
	slices.Sort(classes)
	failures.Note = strings.Join(classes, ", ")
	outage := v.aged("Outage", i.Outage, "")
	if !outage.Empty {
		outage.Warn = true
		outage = outage.note("%d failures", i.OutageFailures)
	}
	last := v.aged("Last error", i.LastErrorTime, " ago")
	if !last.Empty {
		last.Note = i.LastError
	}
	return []cell{
		{Title: "Feed", Text: strings.TrimPrefix(i.Source, "*")},
		v.aged("Last connected", i.Connected, " ago"),
		counted("Connections", i.Connections),
		counted("Handovers", i.Handovers),
		failures, outage, last,
	}
}

func (v *view) consumer(i *item) []cell {
	buffer := counted("In the buffer", uint64(i.Buffered))
	buffer.Text += " of " + count(i.MaxBuffered)
	oldest := v.aged("Oldest", i.Oldest, " ago")
	if i.Buffered > 0 {
		buffer = buffer.note("%s of %s", size(i.BufferedBytes), size(i.MaxBytes))
		oldest.Warn = i.Health == "stuck"
		oldest = oldest.note("%s", attempt(i))
	}
	return []cell{
		buffer, oldest,
		counted("Acknowledged", i.Acked),
		counted("Refused", i.Nacked),
		lost("Dead-lettered", i.DeadLettered),
		lost("Dropped by overflow", i.Dropped),
	}
}

// attempt describes what is known of the oldest event.
func attempt(i *item) string {
	text := "not delivered yet"
	if i.OldestAttempt > 0 {
		text = fmt.Sprintf("attempt %d", i.OldestAttempt)
	}
	if i.OldestID != "" {
		text += ", id " + i.OldestID
	}
	return text
}

func (v *view) position(i *item) []cell {
	gaps := counted("Gaps", i.Gaps)
	if i.Gaps > 0 {
		gaps = gaps.note("%s repaired, last %s ago", count(i.Repaired), v.Ago(i.LastGap))
	}
	saved := v.aged("Saved", i.LastSave, " ago")
	saved.Warn = i.Health == "checkpoint"
	epoch := counted("Epoch", i.Epoch)
	if !i.LeaseUntil.IsZero() {
		epoch = epoch.note("has the lease")
	}
	return []cell{saved, lost("Failed saves", i.SaveErrors), epoch, gaps, lost("Missed events", i.Missed)}
}

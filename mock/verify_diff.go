package mock

import (
	"fmt"
	"strings"
)

const (
	diffAround = 2  // lines shown before and after a difference
	diffLines  = 60 // maximum number of lines shown
	labelWidth = 40 // maximum number of characters shown of an event's data
)

// A diffLine is one event, or what happened between two. A mark other than a space is a
// difference.
type diffLine struct {
	mark byte
	text string
}

// diff shows the differences in the order of the feed.
func (c *comparison) diff() string {
	var all []diffLine
	for _, e := range append(append([]*sentEvent{c.start}, c.events...), c.end) {
		for _, what := range e.before {
			all = append(all, diffLine{' ', "(" + what + ")"})
		}
		if e != c.start && e != c.end {
			all = append(all, diffLine{e.mark, remark(label(e.step.frame.ID, e.step.frame.Data), e.remark)})
		}
		for _, x := range e.after {
			all = append(all, diffLine{'+', remark(x.event, x.remark)})
		}
	}
	return excerpt(all)
}

// excerpt shows the marked lines and those around them.
func excerpt(all []diffLine) string {
	shown := make([]bool, len(all))
	for i, l := range all {
		if l.mark != ' ' {
			for j := max(0, i-diffAround); j < min(len(all), i+diffAround+1); j++ {
				shown[j] = true
			}
		}
	}
	var b strings.Builder
	lines, skipped := 0, false
	for i, l := range all {
		switch {
		case !shown[i]:
			skipped = true
			continue
		case lines == diffLines:
			b.WriteString("  ... and more\n")
			return b.String()
		case skipped:
			b.WriteString("  ...\n")
		}
		fmt.Fprintf(&b, "%c %s\n", l.mark, l.text)
		lines, skipped = lines+1, false
	}
	if skipped {
		b.WriteString("  ...\n")
	}
	return b.String()
}

func remark(event, remark string) string {
	if remark == "" {
		return event
	}
	return fmt.Sprintf("%-30s %s", event, remark)
}

// label names an event by its id and the beginning of its data.
func label(id string, data []byte) string {
	text := fmt.Sprintf("%#q", data)
	if runes := []rune(string(data)); len(runes) > labelWidth {
		text = fmt.Sprintf("%#q...", string(runes[:labelWidth]))
	}
	if id == "" {
		return text
	}
	return id + " " + text
}

package transporttest

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"time"
)

// label marks goroutines in the profile. A goroutine inherits it, which distinguishes the
// transport's goroutines from those of the peer and of other tests.
const label = "transporttest"

// mark labels the calling goroutine, until unmark.
func (p *probe) mark() {
	ctx := pprof.WithLabels(context.Background(), pprof.Labels(label, p.name()))
	pprof.SetGoroutineLabels(ctx)
}

func unmark() { pprof.SetGoroutineLabels(context.Background()) }

// name is a label value that is unique to the probe.
func (p *probe) name() string { return fmt.Sprintf("%p", p) }

// checkGoroutines waits for the goroutines of the probe to end.
func (p *probe) checkGoroutines() {
	unmark()
	for wait := time.Millisecond; wait < 10*time.Second; wait *= 2 { // a profile is expensive
		if len(p.goroutines()) == 0 {
			return
		}
		time.Sleep(wait)
	}
	for _, stack := range p.goroutines() {
		p.t.Errorf("goroutine still running:\n%s", stack)
	}
}

// goroutines returns the stacks of the goroutines with the probe's label.
func (p *probe) goroutines() (stacks []string) {
	var all bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&all, 1)
	_, profile, _ := strings.Cut(all.String(), "\n") // after the line with the total
	for stack := range strings.SplitSeq(profile, "\n\n") {
		for line := range strings.Lines(stack) {
			if strings.HasPrefix(line, "# labels:") && strings.Contains(line, `"`+p.name()+`"`) {
				stacks = append(stacks, stack)
			}
		}
	}
	return stacks
}

package transporttest

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"time"
)

// label marks goroutines in the profile: those that a labelled one starts have it too. So
// the transport's are told from the peer's and from those of other tests.
const label = "transporttest"

// mark labels the goroutine that calls it, until unmark.
func (p *probe) mark() {
	ctx := pprof.WithLabels(context.Background(), pprof.Labels(label, p.name()))
	pprof.SetGoroutineLabels(ctx)
}

func unmark() { pprof.SetGoroutineLabels(context.Background()) }

// name is a label's value that no other probe has.
func (p *probe) name() string { return fmt.Sprintf("%p", p) }

// checkGoroutines waits for the goroutines of the probe to end.
func (p *probe) checkGoroutines() {
	unmark()
	for range 2000 {
		if len(p.goroutines()) == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, stack := range p.goroutines() {
		p.t.Errorf("a goroutine is left behind:\n%s", stack)
	}
}

// goroutines returns the stacks of the goroutines that bear the probe's label.
func (p *probe) goroutines() (stacks []string) {
	var all bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&all, 1)
	_, profile, _ := strings.Cut(all.String(), "\n") // behind the line with the total
	for stack := range strings.SplitSeq(profile, "\n\n") {
		for line := range strings.Lines(stack) {
			if strings.HasPrefix(line, "# labels:") && strings.Contains(line, `"`+p.name()+`"`) {
				stacks = append(stacks, stack)
			}
		}
	}
	return stacks
}

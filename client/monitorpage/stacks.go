package monitorpage

import (
	"fmt"
	"path"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
)

const maxStacks = 10

// A frame of a goroutine profile: "#	0x47d92e	main.handle+0x1c	/src/main.go:12".
var frameLine = regexp.MustCompile(`^#\t0x[0-9a-f]+\t(.+)\+0x[0-9a-f]+\s+(.+)$`)

// notConsumers are functions of goroutines with the label that run none of the program's code.
var notConsumers = regexp.MustCompile(`steadfeed/client\.\(\*loop\)|net/http\.\(\*persistConn\)\.(read|write)Loop`)

// stacksOf returns where the goroutines are that have the pprof label of a client.Monitor with the name
// of a subscription, and what they have started. Goroutines at the same place share a stack.
func stacksOf(name string) []string {
	if name == "" {
		return nil
	}
	var profile strings.Builder
	if pprof.Lookup("goroutine").WriteTo(&profile, 1) != nil {
		return nil
	}
	return parseStacks(profile.String(), name)
}

// parseStacks returns the stacks in a goroutine profile with the label of name. Of a file it has the
// base name.
func parseStacks(profile, name string) []string {
	label := `"subscription":` + strconv.Quote(name)
	var stacks []string
	for block := range strings.SplitSeq(profile, "\n\n") {
		if !strings.Contains(block, label) || notConsumers.MatchString(block) || len(stacks) == maxStacks {
			continue
		}
		var text strings.Builder
		for line := range strings.SplitSeq(block, "\n") {
			if m := frameLine.FindStringSubmatch(line); m != nil {
				fmt.Fprintf(&text, "%s  %s\n", m[1], path.Base(m[2]))
			} else if n, _, ok := strings.Cut(line, " @ "); ok {
				fmt.Fprintf(&text, "goroutines: %s\n", n)
			}
		}
		stacks = append(stacks, text.String())
	}
	return stacks
}

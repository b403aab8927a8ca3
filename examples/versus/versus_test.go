package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain makes the test binary the server when startServer runs it as such.
func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) != "" {
		exit(serve(os.Stdin, os.Stdout))
		return
	}
	os.Exit(m.Run())
}

func server(tb testing.TB) string {
	url, stop, err := startServer()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := stop(); err != nil {
			tb.Error(err)
		}
	})
	return url
}

// TestSameEvents checks that every entry delivers the events that the feed was made of. A library
// that is not used properly would only seem fast.
func TestSameEvents(t *testing.T) {
	for _, c := range contests(server(t)) {
		for _, e := range c.entries {
			t.Run(c.name()+"/"+e.library, func(t *testing.T) {
				all := ndjsonFeed(c.size).payloads // every feed of a size has the same
				for _, n := range []int{0, 1, 3, len(all) + 2} {
					want := slices.Concat(all, all[:2])[:n]
					got := tally{keep: true}
					if err := e.read(n, &got); err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(got.kept, want) {
						t.Errorf("of %d events: %s", n, difference(got.kept, want))
					}
					if got.events != n || got.bytes != len(strings.Join(want, "")) {
						t.Errorf("got %d events of %d bytes, want %d of %d", got.events, got.bytes, n, len(strings.Join(want, "")))
					}
				}
			})
		}
	}
}

func difference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("event %d is %.200q, not %.200q", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("%d were delivered", len(got))
}

// TestTable runs the command for one contest, as briefly as possible.
func TestTable(t *testing.T) {
	benchtime := flag.Lookup("test.benchtime").Value.String()
	t.Cleanup(func() { flag.Set("test.benchtime", benchtime) })
	var out strings.Builder
	if err := run(&out, time.Millisecond, 3, "^NDJSON/100B$", 0); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 1+len(ndjsonContest(100).entries) {
		t.Fatalf("got the table\n%s\nwant a line for each entry", out.String())
	}
	for i, line := range lines[1:] {
		var ns, mb, allocs, ratio float64
		numbers := strings.Fields(line)[len(strings.Fields(line))-4:]
		if _, err := fmt.Sscan(strings.Join(numbers, " "), &ns, &mb, &allocs, &ratio); err != nil || ns <= 0 || mb <= 0 || allocs < 0 || ratio <= 0 {
			t.Errorf("%q: got %v, want four numbers", line, err)
		}
		if i == 0 && ratio != 1 {
			t.Errorf("steadfeed compared with itself: got ratio %g, want 1", ratio)
		}
	}
}

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain makes the test binary a child process when the program runs it as such.
func TestMain(m *testing.M) {
	if isChild() {
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
	url := server(t)
	for _, c := range slices.Concat(decoding(), checking(), subscribing(url), sockets(url)) {
		for _, e := range c.rivals {
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

// measured runs the command briefly and returns the lines it writes.
func measured(t *testing.T, c command) []string {
	t.Helper()
	benchtime := flag.Lookup("test.benchtime").Value.String()
	t.Cleanup(func() { flag.Set("test.benchtime", benchtime) })
	c.progress = io.Discard
	var out strings.Builder
	if err := run(&out, c); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

// checkNumbers returns the n numbers at the end of a line.
func checkNumbers(t *testing.T, line string, n int) (numbers []float64) {
	t.Helper()
	fields := strings.Fields(line)
	for _, text := range fields[max(0, len(fields)-n):] {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Errorf("%q: got %v, want %d numbers", line, err, n)
		}
		numbers = append(numbers, v)
	}
	return numbers
}

// TestTable runs the command for one contest.
func TestTable(t *testing.T) {
	lines := measured(t, command{settings: settings{span: time.Millisecond, turns: 3}, match: "^NDJSON/100B$"})
	if len(lines) != 1+len(ndjsonContest(100).rivals) {
		t.Fatalf("got the table\n%s\nwant a line for each entry", strings.Join(lines, "\n"))
	}
	for i, line := range lines[1:] {
		n := checkNumbers(t, line, 4)
		if ns, mb, allocs, ratio := n[0], n[1], n[2], n[3]; ns <= 0 || mb <= 0 || allocs < 0 || ratio <= 0 {
			t.Errorf("%q: got %v, want positive numbers", line, n)
		} else if i == 0 && ratio != 1 {
			t.Errorf("steadfeed compared with itself: got ratio %g, want 1", ratio)
		}
	}
}

// Versus compares steadfeed with other libraries that read the same bytes: parsers read from
// memory, clients from a server in another process. Each library is used as its documentation
// describes, and must look at every event's data. Run it with
//
//	go run . -time 200ms -count 5
//
// The runs of a contest are interleaved and the medians shown, because machines are noisy.
// Compare ratios from one run, not times from two. The column "ratio" is the time of a library
// divided by that of the first row.
//
// To see the comparison as bar charts, write a page:
//
//	go run . -html out.html
//
// To check the goals that goals.go declares, measure only what they need, five times. The command
// exits with 1 if a goal is missed by more than 15 % in three of these runs:
//
//	go run . -check
//
// The libraries do not all do the same. The program may keep steadfeed's data permanently,
// which costs fresh memory. "lent" is the data of decode.Reader.Borrow, which the next event
// overwrites, as in bufio.Scanner and jsontext. "floor" is not a library but the minimum cost of
// events that the program may keep: fresh memory, and a search for the end of each. "floor, passed
// on" also takes them to another goroutine, in batches.
//
// Webhooks are measured in CPU time of this process for a request, because net/http and the kernel
// take most of it. Ratios are to the floor, a handler that reads the same requests and drops them.
// The sender is in the other process and has 16 connections, each with one request at a time. Each
// library verifies the scheme that it is made for, with the same bodies. Libraries do not all do
// the same: steadfeed also detects repeated deliveries and passes them to the program's loop, some
// libraries decode, and CloudEvents signs nothing, which leaves a token to steadfeed and nothing to
// its library. "Techniques" delivers the same events by webhooks, HTTP and WebSocket.
//
// "Idle" is the memory of connections that are silent, each library in a fresh process: heap and
// stacks. "Growth" is the CPU time for an event while one size grows: Buffer, consumers, events
// between an event and its Ack, remembered ids and keys, and the event itself. Its column "growth"
// is the cost compared with what the theory makes of the cheapest smaller size.
//
// The program holds -heap MiB for the sake of the garbage collector, as larger programs do.
// Without it Go collects after every 4 MiB, which is then a large part of what is measured.
// -heap 0 shows it.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"testing"
	"time"
)

// A command is what the flags ask for.
type command struct {
	settings
	match    string    // a regular expression for the names of contests
	html     string    // file to write, if not empty
	check    bool      // measure only what the goals need
	progress io.Writer // lines on what is being measured
}

func main() {
	if isChild() {
		return
	}
	testing.Init()
	c := command{progress: os.Stderr}
	flag.DurationVar(&c.span, "time", 200*time.Millisecond, "approximate duration of a measurement")
	flag.IntVar(&c.turns, "count", 5, "number of measurements of each")
	heap := flag.Int("heap", 32, "MiB that the program holds in addition to what is measured")
	idle := flag.Int("idle", 0, "only show the memory of this many idle connections")
	flag.StringVar(&c.match, "run", "", "run only contests whose name matches this regular expression")
	flag.StringVar(&c.html, "html", "", "also write the results to this file, as a page with charts")
	flag.BoolVar(&c.check, "check", false, fmt.Sprintf("measure the goals in %d runs and exit with 1 if one is missed by more than 15 %% in most of them", checkRuns))
	flag.Parse()
	if c.settings.idle = cmp.Or(*idle, defaultIdle); *idle > 0 {
		c.match = cmp.Or(c.match, "^Idle")
	}
	held := warmUp(max(*heap, 0) << 20)
	exit(run(os.Stdout, c))
	runtime.KeepAlive(held)
}

// warmUp returns n bytes of memory to hold, and has the process own as much again that is free. A
// program that has run for a while does not fault in a new page for each 4 KiB that it allocates. On a
// virtual machine, that costs more than everything that is measured here.
func warmUp(n int) []byte {
	const slab = 64 << 10
	held := make([]byte, n)
	touch(held)
	var free [][]byte
	for range n / slab {
		free = append(free, make([]byte, slab))
		touch(free[len(free)-1])
	}
	return held
}

func touch(b []byte) {
	for i := 0; i < len(b); i += 4 << 10 {
		b[i] = 1
	}
}

const defaultIdle = 500

// isChild reports whether this process is one that the program started, and if so runs it.
func isChild() bool {
	switch {
	case os.Getenv(serverEnv) != "":
		exit(serve(os.Stdin, os.Stdout))
	case os.Getenv(idleEnv) != "":
		exit(hold(os.Stdin, os.Stdout))
	default:
		return false
	}
	return true
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, c command) (err error) {
	wanted, err := regexp.Compile(c.match)
	if err != nil {
		return err
	}
	if err := flag.Set("test.benchtime", c.span.String()); err != nil {
		return err
	}
	server, stop, err := startServer()
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, stop()) }()
	all := slices.DeleteFunc(contests(server), func(each contest) bool { return !wanted.MatchString(each.name()) })
	if len(all) == 0 {
		return fmt.Errorf("no contest matches %q", c.match)
	}
	if c.check {
		return c.checked(w, all)
	}
	results, err := c.round(all, nil)
	if err != nil {
		return err
	}
	if err := writeText(w, results); err != nil {
		return err
	}
	return c.writePage([][]*result{results})
}

// round measures each contest once. needs, if not nil, are the entries that are needed of each.
func (c command) round(all []contest, needs map[string][]string) (results []*result, err error) {
	for _, each := range all {
		fmt.Fprintln(c.progress, "measuring", each.name())
		s := c.settings
		if needs != nil {
			s.only = needs[each.name()]
		}
		res, err := each.measure(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", each.name(), err)
		}
		res.Contest = each.name()
		results = append(results, res)
	}
	return results, nil
}

// checked measures what the goals need, checkRuns times, and returns an error if a goal failed.
func (c command) checked(w io.Writer, all []contest) error {
	needs := needed(goals(), all)
	all = slices.DeleteFunc(all, func(each contest) bool { return needs[each.name()] == nil })
	if len(all) == 0 {
		return errors.New("no goal is about these contests")
	}
	var rounds [][]*result
	for range checkRuns {
		results, err := c.round(all, needs)
		if err != nil {
			return err
		}
		rounds = append(rounds, results)
	}
	verdicts, err := judge(goals(), rounds)
	if err != nil {
		return err
	}
	if err := cmp.Or(writeVerdicts(w, verdicts), c.writePage(rounds)); err != nil {
		return err
	}
	return failures(verdicts)
}

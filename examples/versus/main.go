// Versus compares steadfeed with other libraries that read the same bytes: parsers read from
// memory, clients from a server in another process. Each library is used as its documentation
// describes, and must look at every event's data. Run it with
//
//	go run . -time 200ms -count 5
//
// The runs of a contest are interleaved and the medians shown, because machines are noisy.
// Compare ratios from one run, not times from two. The last column is the time of a library
// divided by that of steadfeed.
//
// The libraries do not all do the same. The program may keep steadfeed's data permanently,
// which costs fresh memory. "lent" is the data of decode.Reader.Borrow, which the next event
// overwrites, as in bufio.Scanner and jsontext. "fresh slabs" is not a library but the minimum
// cost of lines that the program may keep: fresh memory, and a search for the end of the line.
//
// Webhooks have separate tables, because net/http and the kernel take most of their time. The
// tables show the CPU time of this process for a request, and the part beyond the floor, a
// handler that reads the same requests and drops them. The sender is in the other process and
// has 16 connections, each with one request at a time. Each library verifies the scheme that it
// is made for, with the same bodies. Libraries do not all do the same: steadfeed also detects
// repeated deliveries and passes them to the program's loop, some libraries decode, and
// CloudEvents signs nothing, which leaves a token to steadfeed and nothing to its library.
// "Techniques" delivers the same events by webhooks, HTTP and WebSocket.
//
// The program holds -heap MiB for the sake of the garbage collector, as larger programs do.
// Without it Go collects after every 4 MiB, which is then a large part of what is measured.
// -heap 0 shows it.
package main

import (
	"cmp"
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

func main() {
	if os.Getenv(serverEnv) != "" {
		exit(serve(os.Stdin, os.Stdout))
		return
	}
	testing.Init()
	span := flag.Duration("time", 200*time.Millisecond, "approximate duration of a measurement")
	count := flag.Int("count", 5, "number of measurements of each")
	heap := flag.Int("heap", 32, "MiB that the program holds in addition to what is measured")
	connections := flag.Int("idle", 0, "only show the memory of this many idle WebSockets")
	match := flag.String("run", "", "run only contests whose name matches this regular expression")
	flag.Parse()
	held := make([]byte, max(*heap, 0)<<20)
	exit(run(os.Stdout, *span, *count, *match, *connections))
	runtime.KeepAlive(held)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, span time.Duration, count int, match string, connections int) (err error) {
	wanted, err := regexp.Compile(match)
	if err != nil {
		return err
	}
	if err := flag.Set("test.benchtime", span.String()); err != nil {
		return err
	}
	server, stop, err := startServer()
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, stop()) }()
	if connections > 0 {
		return idle(w, server, connections)
	}
	chosen := slices.DeleteFunc(contests(server), func(c contest) bool { return !wanted.MatchString(c.name()) })
	if err := decided(w, chosen, count); err != nil {
		return err
	}
	return webhooks(w, server, span, count, wanted)
}

// decided measures contests and prints the results.
func decided(w io.Writer, chosen []contest, count int) error {
	if len(chosen) == 0 {
		return nil
	}
	out := newTable(w)
	for _, c := range chosen {
		scores, err := c.measure(count)
		if err != nil {
			return err
		}
		out.add(c, scores)
	}
	return out.Flush()
}

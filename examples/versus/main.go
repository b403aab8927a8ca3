// Versus measures steadfeed beside other libraries that read the same bytes: parsers from
// memory, clients from a server in another process. Each library is used as its
// documentation says, and each has to look at every event's data. Run it with
//
//	go run . -time 200ms -count 5
//
// The runs of a contest are interleaved and the medians shown, because machines are
// noisy. Compare ratios from one run, not times from two. The last column says how many
// times as long as steadfeed a library takes.
//
// What is compared is not the same in all respects. steadfeed's data are the program's
// own for ever, which costs fresh memory; "lent" are those of decode.Reader.Borrow, which
// the next event overwrites, as it does those of bufio.Scanner and jsontext. "fresh slabs"
// is no library but the least that owned lines can cost: memory that nobody has yet, and
// a search for the line's end.
//
// Webhooks have tables of their own, because most of their time is net/http's and the
// kernel's: they show the CPU time that this process has used for a request, by its own
// account, and what of it goes beyond the floor, a handler that reads the same requests
// and drops them. The sender is in the other process and has 16 connections, each for one
// request after the other. Each library verifies the scheme that it is made for, over the
// same bodies. Libraries do not all do the same: steadfeed also looks whether a
// delivery is a repetition and hands it over to the program's loop, some decode, and
// CloudEvents signs nothing, which leaves a token to steadfeed and nothing to its library.
// "Techniques" brings the same events by webhooks, HTTP and WebSocket.
//
// The program holds -heap MiB, for the garbage collector's sake, as a program does that
// is more than a loop: with none at all Go collects after every 4 MiB, and this is then a
// good part of what is measured. -heap 0 shows it.
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
	span := flag.Duration("time", 200*time.Millisecond, "how long a measurement takes, about")
	count := flag.Int("count", 5, "how often each is repeated")
	heap := flag.Int("heap", 32, "MiB that the program holds beside what is measured")
	connections := flag.Int("idle", 0, "only show the memory of so many idle WebSockets")
	match := flag.String("run", "", "only the contests whose name matches this regular expression")
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

// decided measures contests and shows who is how fast.
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

// Checkpoint shows, sets and resets the position of a subscription whose Store is a client.FileStore.
//
// The position is set under compare-and-swap, so the subscription may run meanwhile: it ends with
// client.ErrFenced within 30 s, and starts at the new position when it is started again. For another
// Store, call client.ReadCheckpoint and client.SetCheckpoint in a program of your own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/client"
)

const usage = `Checkpoint shows, sets and resets the position of a subscription in a client.FileStore.

Usage:

	checkpoint -dir DIR list                    the names in DIR
	checkpoint -dir DIR show [-token] NAME      what is stored
	checkpoint -dir DIR set [flags] NAME TOKEN  resume after TOKEN; "-": read it from standard input
	checkpoint -dir DIR reset [flags] NAME      start as for the first time

A subscription that runs meanwhile ends with client.ErrFenced, within 30 s. Start it again: it
resumes at the new position. If the position moves back, events are delivered again; if it moves
forward, the events in between are not delivered.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 no such checkpoint, 4 the epoch is not that of -epoch.

Flags, before or after the command:

`

const (
	done = iota
	failed
	misused
	missing
	conflict
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// A call is the command line.
type call struct {
	dir       string
	showToken bool
	create    bool
	opts      client.SetOptions

	command string
	args    []string // after the command
}

// run returns the exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	c, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return done
	}
	if err != nil {
		fmt.Fprintf(errs, "checkpoint: %v\nFor help: checkpoint -help\n", err)
		return misused
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err = c.do(ctx, in, out); err == nil {
		return done
	}
	text := strings.Replace(err.Error(), "SetCheckpoint and Force", "set -force or reset -force", 1)
	fmt.Fprintf(errs, "checkpoint: %s\n", strings.TrimPrefix(text, "client: "))
	switch {
	case errors.As(err, new(*missingError)):
		return missing
	case errors.Is(err, client.ErrConflict):
		return conflict
	}
	return failed
}

// parse returns the command line. Flags may be anywhere in it.
func parse(args []string, errs io.Writer) (*call, error) {
	var c call
	flags := flag.NewFlagSet("checkpoint", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.dir, "dir", "", "the `folder` of the FileStore")
	flags.BoolVar(&c.showToken, "token", false, "show the token, which may be a secret")
	flags.Uint64Var(&c.opts.Epoch, "epoch", 0, "set or reset only if the checkpoint has this `epoch`, which show prints")
	flags.BoolVar(&c.create, "create", false, "set a checkpoint that does not exist")
	flags.BoolVar(&c.opts.Force, "force", false, "replace a checkpoint even if it is damaged")
	var words []string
	for rest := args; ; rest = rest[1:] {
		if err := flags.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				fmt.Fprint(errs, usage)
				flags.SetOutput(errs)
				flags.PrintDefaults()
			}
			return nil, err
		}
		if rest = flags.Args(); len(rest) == 0 {
			break
		}
		words = append(words, rest[0])
	}
	return &c, c.check(words)
}

// check checks the words that are no flags.
func (c *call) check(words []string) error {
	if c.dir == "" {
		return errors.New("-dir is missing")
	}
	if len(words) == 0 {
		return errors.New("the command is missing: list, show, set or reset")
	}
	c.command, c.args = words[0], words[1:]
	wants, ok := map[string][]string{"list": {}, "show": {"NAME"}, "set": {"NAME", "TOKEN"}, "reset": {"NAME"}}[c.command]
	switch {
	case !ok:
		return fmt.Errorf("unknown command %q: want list, show, set or reset", c.command)
	case len(c.args) != len(wants):
		return fmt.Errorf("%s: got %d arguments, want %d: %s", c.command, len(c.args), len(wants), strings.Join(wants, " "))
	case len(wants) > 0 && c.args[0] == "":
		return errors.New("NAME is empty")
	case c.command == "set" && c.args[1] == "":
		return errors.New("TOKEN is empty: to start as for the first time, use reset")
	}
	return nil
}

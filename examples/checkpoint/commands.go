package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/client"
)

// do runs the command.
func (c *call) do(ctx context.Context, in io.Reader, out io.Writer) error {
	if _, err := os.Stat(c.dir); err != nil && !c.create {
		return err
	}
	switch c.command {
	case "list":
		return c.list(out)
	case "show":
		return c.show(ctx, out)
	case "reset":
		return c.set(ctx, "", out)
	}
	token := c.args[1]
	if token == "-" {
		line, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		if token = strings.TrimRight(string(line), "\r\n"); token == "" {
			return errors.New("standard input has no token: to start as for the first time, use reset")
		}
	}
	return c.set(ctx, token, out)
}

func (c *call) list(out io.Writer) error {
	names, err := c.names()
	for _, name := range names {
		fmt.Fprintln(out, name)
	}
	return err
}

// names returns the names of the checkpoints, which FileStore escapes in the names of its files.
func (c *call) names() (names []string, err error) {
	files, err := os.ReadDir(c.dir)
	for _, f := range files {
		if base, ok := strings.CutSuffix(f.Name(), ".json"); ok {
			if name, err := url.PathUnescape(base); err == nil {
				names = append(names, name)
			}
		}
	}
	return names, err
}

func (c *call) show(ctx context.Context, out io.Writer) error {
	p, err := client.ReadCheckpoint(ctx, client.FileStore(c.dir), c.args[0])
	if err != nil {
		return err
	}
	if p.Epoch == 0 {
		return c.missing()
	}
	fmt.Fprintf(out, "epoch   %d\nevents  %d\nsaved   %s\nowner   %s\n", p.Epoch, p.Events, p.Saved.Format(time.RFC3339), p.Owner)
	switch {
	case p.Token == "":
		fmt.Fprintln(out, "token   none")
	case c.showToken:
		fmt.Fprintf(out, "token   %q\n", p.Token)
	default:
		fmt.Fprintf(out, "token   %d bytes, shown with -token\n", len(p.Token))
	}
	return nil
}

func (c *call) set(ctx context.Context, token string, out io.Writer) error {
	store, name := client.FileStore(c.dir), c.args[0]
	p, err := client.ReadCheckpoint(ctx, store, name)
	if err != nil && !(c.opts.Force && isDamaged(err)) {
		return err
	}
	if err == nil && p.Epoch == 0 && !c.create { // no subscription reads the checkpoint of a mistyped name
		return c.missing()
	}
	old, err := client.SetCheckpoint(ctx, store, name, token, &c.opts)
	if err != nil {
		return err
	}
	if p, err = client.ReadCheckpoint(ctx, store, name); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: done, epoch %d -> %d\n", name, old.Epoch, p.Epoch)
	return nil
}

// isDamaged reports whether err means that the record was read and makes no sense.
func isDamaged(err error) bool {
	var e *client.CheckpointError
	return errors.As(err, &e) && e.Op == "read"
}

func (c *call) missing() error {
	names, err := c.names()
	return errors.Join(err, &missingError{c.dir, c.args[0], names})
}

type missingError struct {
	dir, name string
	there     []string
}

func (e *missingError) Error() string {
	return fmt.Sprintf("no checkpoint %q in %s; there are %q", e.name, e.dir, e.there)
}

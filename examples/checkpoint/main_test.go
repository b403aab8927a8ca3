package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"go.uber.org/goleak"
)

const asProgram = "STEADFEED_CHECKPOINT_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// handle subscribes, handles n events and ends.
func handle(t *testing.T, dir string, feed *mock.Feed, n int) (got []string) {
	t.Helper()
	sub, err := client.Subscribe(t.Context(), feed, &client.Options{Name: "shop/orders", Store: client.FileStore(dir)})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	for range n {
		ev, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ev.ID)
		ev.Ack()
	}
	return got
}

func feed() *mock.Feed {
	return mock.NewFeed(mock.Event("secret-1", "a"), mock.Event("secret-2", "b"), mock.Event("secret-3", "c"))
}

var changing = regexp.MustCompile(`(saved|owner)   .*`)

// A session shows everything that the command prints.
func TestSession(t *testing.T) {
	dir := t.TempDir()
	handle(t, dir, feed(), 2)
	for _, step := range []struct {
		args   string
		in     string
		before func()
		want   string
		status int
	}{
		{args: "list", want: "shop/orders\n"},
		{args: "show shop/orders", want: "epoch   1\nevents  2\nsaved   ...\nowner   ...\ntoken   8 bytes, shown with -token\n"},
		{args: "show -token shop/orders", want: "epoch   1\nevents  2\nsaved   ...\nowner   ...\ntoken   \"secret-2\"\n"},
		{args: "set shop/orders secret-1 -epoch 1", want: "shop/orders: done, epoch 1 -> 2\n"},
		{args: "set -epoch 1 shop/orders secret-2", status: conflict,
			want: "checkpoint: checkpoint \"shop/orders\": set: the epoch is 2, not 1: the checkpoint was taken over or set meanwhile\n"},
		{args: "show shop/orders -token", want: "epoch   2\nevents  2\nsaved   ...\nowner   ...\ntoken   \"secret-1\"\n"},
		{args: "set shop/orders -", in: "secret-3\n", want: "shop/orders: done, epoch 2 -> 3\n"},
		{args: "set shop/orders -", in: "\n", status: failed,
			want: "checkpoint: standard input has no token: to start as for the first time, use reset\n"},
		{args: "reset shop/orders", want: "shop/orders: done, epoch 3 -> 4\n"},
		{args: "show -token shop/orders", want: "epoch   4\nevents  0\nsaved   ...\nowner   ...\ntoken   none\n"},
		{args: "show shop/order", status: missing, want: "checkpoint: no checkpoint \"shop/order\" in DIR; there are [\"shop/orders\"]\n"},
		{args: "set -force shop/order 7", status: missing, want: "checkpoint: no checkpoint \"shop/order\" in DIR; there are [\"shop/orders\"]\n"},
		{args: "set -create new 7", want: "new: done, epoch 0 -> 1\n"},
		{args: "list", want: "new\nshop/orders\n"},
		{args: "show new", before: func() { damage(t, filepath.Join(dir, "new.json")) }, status: failed,
			want: "checkpoint: checkpoint \"new\": read: corrupt record of 9 bytes: unexpected EOF; restore it, or replace it with set -force or reset -force\n"},
		{args: "set new 8", status: failed,
			want: "checkpoint: checkpoint \"new\": read: corrupt record of 9 bytes: unexpected EOF; restore it, or replace it with set -force or reset -force\n"},
		{args: "set -force new 8", want: "new: done, epoch 0 -> TIME\n"},
		{args: "show new -token", want: "epoch   TIME\nevents  0\nsaved   ...\nowner   ...\ntoken   \"8\"\n"},
	} {
		if step.before != nil {
			step.before()
		}
		status, got := invoke(t, step.in, append([]string{"-dir", dir}, strings.Fields(step.args)...)...)
		got = changing.ReplaceAllString(strings.ReplaceAll(got, dir, "DIR"), "$1   ...")
		got = regexp.MustCompile(`\b\d{13}\b`).ReplaceAllString(got, "TIME")
		if status != step.status || got != step.want {
			t.Errorf("%s: got status %d and\n%s\nwant %d and\n%s", step.args, status, got, step.status, step.want)
		}
	}
}

func damage(t *testing.T, file string) {
	if err := os.WriteFile(file, []byte(`{"epoch":`), 0o600); err != nil {
		t.Fatal(err)
	}
}

// invoke runs the program in this process and returns its status and output.
func invoke(t *testing.T, in string, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	status := run(t.Context(), args, strings.NewReader(in), &out, &out)
	return status, out.String()
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"show n":               "-dir is missing",
		"-dir d":               "the command is missing",
		"-dir d remove n":      `unknown command "remove": want list, show, set or reset`,
		"-dir d show":          "show: got 0 arguments, want 1: NAME",
		"-dir d set n":         "set: got 1 arguments, want 2: NAME TOKEN",
		"-dir d reset n 7":     "reset: got 2 arguments, want 1: NAME",
		"-dir d show n -tokne": "flag provided but not defined: -tokne",
		"-dir d -epoch x show": `invalid value "x" for flag -epoch`,
	} {
		if status, got := invoke(t, "", strings.Fields(args)...); status != misused || !strings.HasPrefix(got, "checkpoint: "+want) {
			t.Errorf("%s: got status %d and %q, want %d and %q", args, status, got, misused, want)
		}
	}
	if status, got := invoke(t, "", "-dir", "d", "set", "n", ""); status != misused || !strings.Contains(got, "TOKEN is empty") {
		t.Errorf("an empty token: got status %d and %q, want %d", status, got, misused)
	}
	if status, got := invoke(t, "", "-dir", filepath.Join(t.TempDir(), "none"), "show", "n"); status != failed || !strings.Contains(got, "no such file") {
		t.Errorf("a folder that does not exist: got status %d and %q, want %d", status, got, failed)
	}
	status, help := invoke(t, "", "-help")
	for _, word := range []string{"list", "show", "set", "reset", "Exit status", "-force", "ErrFenced"} {
		if status != done || !strings.Contains(help, word) {
			t.Errorf("-help: got status %d and no %q", status, word)
		}
	}
}

// The program runs in a process of its own while the subscription runs in this one. FileStore's lock
// is held only during a save.
func TestSetWhileTheSubscriptionRuns(t *testing.T) {
	dir, feed := t.TempDir(), feed()
	sub, err := client.Subscribe(t.Context(), feed, &client.Options{Name: "shop/orders", Store: client.FileStore(dir)})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	ev, err := sub.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ev.Ack()
	if err := sub.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ev, err = sub.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-dir", dir, "set", "shop/orders", "secret-2")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "shop/orders: done, epoch 1 -> 2\n" {
		t.Fatalf("got %v and %q, want the epoch 2", err, out)
	}
	ev.Ack()
	if err := sub.Commit(t.Context()); !errors.Is(err, client.ErrFenced) {
		t.Errorf("Commit: got %v, want %v", err, client.ErrFenced)
	}
	if _, err := sub.Next(t.Context()); !errors.Is(err, client.ErrFenced) {
		t.Errorf("Next: got %v, want %v", err, client.ErrFenced)
	}
	if got := handle(t, dir, feed, 1); got[0] != "secret-3" {
		t.Errorf("after a start: got %q, want secret-3", got[0])
	}
}

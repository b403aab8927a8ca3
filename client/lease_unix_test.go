//go:build unix

package client_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// startReplica starts a process and returns its lines.
func startReplica(t *testing.T, dir, consumer string) (*os.Process, <-chan string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], consumer)
	cmd.Env = append(os.Environ(), replicaFolder+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1<<16)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range lines {
		}
		cmd.Wait()
	})
	return cmd.Process, lines
}

// awaitEvent reads lines until there is one of an event of an epoch after the given one.
func awaitEvent(t *testing.T, lines <-chan string, after int) (epoch, number int) {
	t.Helper()
	for line := range lines {
		if n, _ := fmt.Sscanf(line, "event %d %d", &epoch, &number); n == 2 && epoch > after {
			return epoch, number
		}
	}
	t.Fatalf("the process ended without an event after epoch %d", after)
	return 0, 0
}

// drainLines reads what a stopped process has written. It reports whether the process had lost its lease.
func drainLines(lines <-chan string) (fenced bool) {
	for range 2 {
		for len(lines) > 0 {
			fenced = <-lines == "fenced: true" || fenced
		}
		time.Sleep(100 * time.Millisecond) // the rest
	}
	return fenced
}

// A process that is stopped for longer than its lease (SIGSTOP, a frozen container) hands out nothing
// when it continues, although its timers have not fired and events are in its buffer. One that is
// killed is replaced, and its successor continues where it was.
func TestStoppedProcessHandsOutNothing(t *testing.T) {
	dir := t.TempDir()
	owner, ownerLines := startReplica(t, dir, "loop")
	epoch, _ := awaitEvent(t, ownerLines, 0)
	spare, spareLines := startReplica(t, dir, "process")
	if line := <-spareLines; line != "standby" {
		t.Fatalf("second process: got %q, want a standby", line)
	}
	for stops := 0; stops < max(2, *exploreRuns/100); {
		if err := owner.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		next, _ := awaitEvent(t, spareLines, epoch)
		fenced := drainLines(ownerLines) // before it was stopped, by a machine under load
		if err := owner.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for late := 0; !fenced; late++ {
			line := <-ownerLines
			if fenced = line == "fenced: true"; fenced {
				stops++
			} else if late > 0 { // one may have been in hand
				t.Fatalf("epoch %d: a process that had lost its lease wrote %q", epoch, line)
			}
		}
		owner, spare, ownerLines, spareLines, epoch = spare, owner, spareLines, ownerLines, next
	}
	owner.Kill()
	last := 0
	for line := range ownerLines {
		fmt.Sscanf(line, fmt.Sprint("event ", epoch, " %d"), &last)
	}
	if _, next := awaitEvent(t, spareLines, epoch); next > last+1 || last == 0 {
		t.Errorf("after the kill at event %d: continued with %d", last, next)
	}
}

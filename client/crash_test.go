package client_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

const crashEnv = "STEADFEED_CRASH_TEST"

// The consumer's process is killed again and again while it works. Every event must be handled at
// least once, and an event may be delivered again only if the checkpoint did not cover it.
func TestKilledConsumerLosesNothing(t *testing.T) {
	if url := os.Getenv(crashEnv); url != "" {
		consumeUntilKilled(url)
		return
	}
	const total, kills = 1000, 4
	srv := httptest.NewServer(counting(total))
	defer srv.Close()
	dir := t.TempDir()
	worked, again := make([]int, total+1), 0
	for round := 0; worked[total] == 0; round++ {
		if round > 50 {
			t.Fatal("got no end of the feed in 50 rounds, want one")
		}
		last := 0
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledConsumerLosesNothing$")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), crashEnv+"="+srv.URL)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); {
			id, ok := strings.CutPrefix(lines.Text(), "worked on ")
			if !ok {
				continue
			}
			i, _ := strconv.Atoi(id)
			if last != 0 && i != last+1 {
				t.Errorf("round %d: got event %d after %d, want the next one", round, i, last)
			}
			if worked[i]++; worked[i] > 1 {
				again++
			}
			last = i
			if n++; round < kills && n == 150+37*round {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		forgetContest(t, filepath.Join(dir, "n.json"))
	}
	for i := 1; i <= total; i++ {
		if worked[i] == 0 {
			t.Errorf("event %d was never handled", i)
		}
	}
	t.Logf("%d events, %d kills, %d handled twice", total, kills, again)
	data, err := os.ReadFile(filepath.Join(dir, "n.json"))
	if err != nil || !strings.Contains(string(data), fmt.Sprintf(`"token": "%d"`, total)) {
		t.Errorf("record at the end: got %s, %v, want token %d", data, err, total)
	}
}

const (
	poisonEnv = "STEADFEED_POISON_TEST"
	poisoned  = "150" // the event that kills its process
)

// An event that kills the process is dead-lettered after a few restarts, and the others are handled.
func TestEventThatKillsTheProcess(t *testing.T) {
	if url := os.Getenv(poisonEnv); url != "" {
		dieOfThePoison(url)
		return
	}
	t.Parallel()
	const total = 200
	srv := httptest.NewServer(counting(total))
	defer srv.Close()
	dir, seen, starts := t.TempDir(), make(map[string]bool), 0
	for ; !seen["the end"]; starts++ {
		if starts > 10 {
			t.Fatalf("got no end of the feed in %d starts, want one", starts)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestEventThatKillsTheProcess$")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), poisonEnv+"="+srv.URL)
		cmd.Stderr = os.Stderr
		out, _ := cmd.Output()
		for line := range strings.Lines(string(out)) {
			seen[strings.TrimSpace(line)] = true
		}
		forgetContest(t, filepath.Join(dir, "n.json"))
	}
	for i := 1; i <= total; i++ {
		if id := strconv.Itoa(i); seen["worked on "+id] == (id == poisoned) || seen["put aside "+id] != (id == poisoned) {
			t.Errorf("event %d: got worked on %t, put aside %t, want the one or the other", i, seen["worked on "+id], seen["put aside "+id])
		}
	}
	if starts < 6 { // a process may die before its position is saved
		t.Errorf("got %d starts, want at least 6: after progress, three without, one with the event alone, one that puts it aside", starts)
	}
}

// dieOfThePoison is the consumer: it handles events on four goroutines until the poison or the end.
func dieOfThePoison(url string) {
	sub, err := client.Subscribe(context.Background(), &transport.HTTP{URL: url}, &client.Options{
		Name: "n", Store: client.FileStore("."), CommitEvery: time.Millisecond,
		DeadLetter: func(_ context.Context, ev client.Event, _ error) error {
			fmt.Println("put aside", ev.ID)
			return nil
		},
	})
	if err != nil {
		panic(err)
	}
	defer sub.Close()
	err = sub.Process(context.Background(), func(ctx context.Context, ev client.Event) error {
		if ev.ID == poisoned {
			time.Sleep(50 * time.Millisecond) // until the position is before it
			self, _ := os.FindProcess(os.Getpid())
			self.Kill()
			<-ctx.Done()
		}
		fmt.Println("worked on", ev.ID)
		return nil
	}, &client.ProcessOptions{Workers: 4, KeyOf: func(ev client.Event) string { return ev.ID[len(ev.ID)-1:] }})
	if err != nil {
		panic(err)
	}
	fmt.Println("the end")
}

// forgetContest changes the record into one whose owner was killed long ago: after several crashes
// in a short time, Subscribe would wait.
func forgetContest(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data = regexp.MustCompile(`,\s*"contest": \d+`).ReplaceAll(data, nil)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// consumeUntilKilled is the consumer: it handles events until the feed is complete.
func consumeUntilKilled(url string) {
	sub, err := client.Subscribe(context.Background(), &transport.HTTP{URL: url}, &client.Options{
		Name: "n", Store: client.FileStore("."), CommitEvery: 5 * time.Millisecond,
	})
	if err != nil {
		panic(err)
	}
	for ev, err := range sub.Events() {
		if err != nil {
			panic(err)
		}
		if ev.Gap != nil {
			panic("a gap: " + string(ev.Gap.Reason))
		}
		time.Sleep(50 * time.Microsecond) // the work
		fmt.Printf("worked on %s\n", ev.ID)
	}
	if err := sub.Commit(context.Background()); err != nil { // Close has less than a second
		panic(err)
	}
	sub.Close()
}

// counting serves the numbers up to total as server-sent events after Last-Event-ID, drops each
// connection after some of them, and answers with 204 when all have been served.
func counting(total int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
		if after >= total {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "retry: 10\n\n")
		for i := after + 1; i <= min(total, after+400); i++ {
			fmt.Fprintf(w, "id: %d\ndata: {\"n\":%d}\n\n", i, i)
			if i%10 == 0 {
				w.(http.Flusher).Flush()
			}
		}
		fmt.Fprint(w, "id: 99999\ndata: a partial event, never to be delivered")
		panic(http.ErrAbortHandler)
	})
}

package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A documented is a row of the table of records in the package documentation.
type documented struct {
	message           string
	levels, must, may []string
	seen              bool
}

// documentedRecords parses the table in doc.go.
func documentedRecords(t *testing.T) (table []*documented) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	_, rows, ok := strings.Cut(file.Doc.Text(), "\tmessage  ")
	rows, _, _ = strings.Cut(rows, "\n\n")
	_, rows, found := strings.Cut(rows, "\n")
	if !ok || !found {
		t.Fatal("doc.go has no table of records")
	}
	columns := regexp.MustCompile(` {2,}`)
	for row := range strings.Lines(rows) {
		cells := columns.Split(strings.TrimSpace(row), -1)
		if len(cells) < 2 || len(cells) > 3 {
			t.Fatalf("a row of the table in doc.go has %d cells, want 2 or 3: %q", len(cells), row)
		}
		d := &documented{message: cells[0], levels: strings.Fields(cells[1])}
		if len(cells) == 3 {
			must, may, _ := strings.Cut(cells[2], "[")
			d.must, d.may = strings.Fields(must), strings.Fields(strings.TrimSuffix(may, "]"))
		}
		table = append(table, d)
	}
	return table
}

// heading returns the part of a message before its advice.
func heading(message string) string {
	return regexp.MustCompile(`[:;].*`).ReplaceAllString(message, "")
}

// accepts reports whether a record is as documented.
func (d *documented) accepts(record map[string]any) bool {
	if heading(record["msg"].(string)) != d.message || !slices.Contains(d.levels, record["level"].(string)) {
		return false
	}
	for _, key := range d.must {
		if _, ok := record[key]; !ok {
			return false
		}
	}
	for key := range record {
		known := slices.Contains([]string{"time", "level", "msg", "subscription"}, key)
		if !known && !slices.Contains(d.must, key) && !slices.Contains(d.may, key) {
			return false
		}
	}
	return true
}

// Every record of these scenarios is as the package documentation lists it, and every row of that list
// is written by one of them.
func TestRecordsAreAsDocumented(t *testing.T) {
	table := documentedRecords(t)
	if len(table) < 30 {
		t.Fatalf("got %d rows in the table of doc.go, want at least 30", len(table))
	}
	for name, run := range logScenarios {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				log := slog.New(slog.NewJSONHandler(&lockedWriter{w: &out}, &slog.HandlerOptions{Level: slog.LevelDebug}))
				run(t, log)
				synctest.Wait()
				if out.Len() == 0 {
					t.Error("got no records")
				}
				for line := range strings.Lines(out.String()) {
					checkRecord(t, table, line)
				}
			})
		})
	}
	for _, d := range table {
		if !d.seen {
			t.Errorf("no scenario writes %q with a level of %v", d.message, d.levels)
		}
	}
}

func checkRecord(t *testing.T, table []*documented, line string) {
	t.Helper()
	var record map[string]any
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		t.Fatal(err)
	}
	if record["subscription"] != "n" {
		t.Errorf("got a record without the name of the subscription: %s", line)
	}
	for _, d := range table {
		if d.accepts(record) {
			d.seen = true
			return
		}
	}
	t.Errorf("got a record that is not documented: %s", line)
}

// Every message in the code is in the table, whether or not a scenario writes it.
func TestMessagesAreDocumented(t *testing.T) {
	table := documentedRecords(t)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		found += checkMessages(t, file, table)
	}
	if found < 25 {
		t.Errorf("got %d messages in the code, want at least 25", found)
	}
}

// checkMessages checks the messages of a file, and returns their number.
func checkMessages(t *testing.T, file *ast.File, table []*documented) (found int) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		place, ok := map[string]int{"Info": 0, "Warn": 0, "Error": 0, "Log": 2, "logLimited": 2}[f.Sel.Name]
		if !ok || place >= len(call.Args) {
			return true
		}
		if text, ok := call.Args[place].(*ast.BasicLit); ok && text.Kind == token.STRING {
			message, _ := strconv.Unquote(text.Value)
			if !slices.ContainsFunc(table, func(d *documented) bool { return d.message == heading(message) }) {
				t.Errorf("the message %q is not in the table of doc.go", message)
			}
			found++
		}
		return true
	})
	return found
}

var errTrouble = errors.New("trouble")

// logScenarios write every record at least once, with a subscription of the name "n".
var logScenarios = map[string]func(t *testing.T, log *slog.Logger){
	"outage": func(t *testing.T, log *slog.Logger) {
		feed := script(events("1"), steps(mock.Drop()), slices.Repeat(steps(mock.Status(503)), 100), events("2"), steps(mock.Pause(time.Hour)), events("3"))
		sub := subscribe(t, feed, &client.Options{Name: "n", Logger: log})
		data(t, sub, 2)
		sub.Reconnect()
		data(t, sub, 1)
		sub.Close()
	},
	"breaks at once": func(t *testing.T, log *slog.Logger) {
		sub := subscribe(t, flapping{}, &client.Options{Name: "n", Logger: log})
		time.Sleep(time.Hour)
		sub.Close()
	},
	"standby": leaseLogs,
	"final": func(t *testing.T, log *slog.Logger) {
		sub := subscribe(t, script(steps(mock.Status(403))), &client.Options{Name: "n", Logger: log})
		data(t, sub, 0)
		sub.Close()
	},
	"context": func(t *testing.T, log *slog.Logger) {
		ctx, cancel := context.WithCancel(t.Context())
		sub, err := client.Subscribe(ctx, script(), &client.Options{Name: "n", Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		data(t, sub, 0)
		sub.Close()
	},
	"complete with a reason": func(t *testing.T, log *slog.Logger) {
		sub := subscribe(t, completing{}, &client.Options{Name: "n", Logger: log})
		data(t, sub, 0)
		sub.Close()
	},
	"failed handover": func(t *testing.T, log *slog.Logger) {
		feed := &ticker{tick: time.Second, start: time.Now(), life: 5 * time.Minute, warning: 2 * time.Minute, refuse: func(n int) error {
			if n == 2 || n == 3 {
				return errTrouble
			}
			return nil
		}}
		sub := subscribe(t, feed, &client.Options{Name: "n", Logger: log})
		data(t, sub, 300)
		sub.Close()
	},
	"gaps": func(t *testing.T, log *slog.Logger) {
		var feed []mock.Step
		for range 20 {
			feed = append(feed, mock.Event("", "x"), mock.Drop())
		}
		number := uint64(0)
		sub := subscribe(t, script(feed, steps(mock.Complete())), &client.Options{Name: "n", Logger: log,
			SequenceOf: func(client.Event) (string, uint64, bool) { number += 2; return "", number, true }})
		data(t, sub, 0)
		sub.Close()
	},
	"backfill": func(t *testing.T, log *slog.Logger) {
		answers := []error{nil, errTrouble, errTrouble, client.ErrAcceptGap}
		sub := subscribe(t, script(events("1"), steps(mock.Drop(), mock.Status(410)), events("2"), steps(mock.Complete())), &client.Options{
			Name: "n", Logger: log,
			Backfill: func(context.Context, client.Gap, func(transport.Message) error) (string, error) {
				if len(answers) == 0 {
					return "", nil
				}
				answer := answers[0]
				answers = answers[1:]
				return "", answer
			}})
		for range sub.Events() {
		}
		sub.Close()
	},
	"stall": func(t *testing.T, log *slog.Logger) {
		sub := subscribe(t, script(events("1", "2", "3", "4", "5"), steps(mock.Complete())), &client.Options{Name: "n", Logger: log, Buffer: 2})
		ev := next(t, sub)
		time.Sleep(5 * time.Minute)
		ev.Ack()
		data(t, sub, 0)
		sub.Close()
	},
	"panics and dead letters": func(t *testing.T, log *slog.Logger) {
		feed := &messages{}
		for i := range 30 {
			*feed = append(*feed, transport.Message{ID: fmt.Sprint(i), Data: []byte("x")})
		}
		calls := 0
		sub := subscribe(t, feed, &client.Options{Name: "n", Logger: log, MaxAttempts: 2,
			DeadLetter: func(context.Context, client.Event, error) error {
				if calls++; calls < 5 {
					return errTrouble
				}
				return nil
			}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		sub.Process(ctx, func(context.Context, client.Event) error { panic("no") }, nil)
		sub.Close()
	},
	"dropped": func(t *testing.T, log *slog.Logger) {
		h := &hub{}
		sub := listening(t, h, &client.Options{Name: "n", Logger: log})
		h.accept(t, pushed("a")[0])
		next(t, sub).Nack(client.Terminal(errTrouble))
		sub.Close()
	},
	"crashes": func(t *testing.T, log *slog.Logger) {
		store := new(mock.Store)
		feed := started(t, store, events("1", "2"))
		o := named(store)
		o.Logger, o.DeadLetter = log, func(context.Context, client.Event, error) error { return nil }
		crashAt(t, store, feed, o, 4)
		sub := subscribe(t, feed, o)
		data(t, sub, 1)
		sub.Close()
	},
	"contest": func(t *testing.T, log *slog.Logger) {
		store := new(mock.Store)
		defer contest(t, store, 4).Close()
		o := named(store)
		o.Logger = log
		sub := subscribe(t, script(), o)
		sub.Close()
	},
	"store": func(t *testing.T, log *slog.Logger) {
		store := new(mock.Store)
		o := named(store)
		o.Logger = log
		sub := subscribe(t, script(events("1")), o)
		outage := &mock.Fault{Count: -1, Err: errTrouble}
		store.OnSave(outage)
		data(t, sub, 1)
		time.Sleep(time.Hour)
		outage.Remove()
		time.Sleep(time.Minute)
		sub.Close()
	},
	"override": func(t *testing.T, log *slog.Logger) {
		store := new(mock.Store)
		started(t, store)
		o := named(store)
		o.Logger, o.StartAfter, o.OverrideID = log, "7", "ticket 7"
		subscribe(t, script(), o).Close()
	},
	"no effect": func(t *testing.T, log *slog.Logger) {
		o := named(new(mock.Store))
		o.Logger, o.Dedupe, o.SequenceOf = log, 10, func(client.Event) (string, uint64, bool) { return "", 0, false }
		sub := subscribe(t, script(slices.Repeat(events(""), 40), steps(mock.Complete())), o)
		data(t, sub, 0)
		sub.Close()
	},
	"pause and drain": func(t *testing.T, log *slog.Logger) {
		sub := subscribe(t, script(), &client.Options{Name: "n", Logger: log})
		sub.Pause()
		sub.Resume()
		sub.Drain(t.Context())
		sub.Close()
	},
}

// completing is a feed that is complete, for a reason.
type completing struct{}

func (completing) Validate() error { return nil }

func (completing) Open(context.Context, string) (*transport.Session, error) {
	return nil, fmt.Errorf("the job is done: %w", transport.ErrComplete)
}

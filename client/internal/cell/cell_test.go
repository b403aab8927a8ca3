package cell

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func saves(client int, start, end int64, data, prev, version string) Op {
	return Op{Client: client, Start: start, End: end, IsSave: true, Data: data, Prev: prev, Version: version}
}

func loads(client int, start, end int64, data, version string) Op {
	return Op{Client: client, Start: start, End: end, Data: data, Version: version}
}

func ends(op Op, outcome Outcome) Op {
	op.Outcome, op.Version = outcome, ""
	return op
}

func TestCheck(t *testing.T) {
	a := saves(1, 1, 2, "a", "", "1")
	b := saves(1, 5, 9, "b", "1", "2")
	for _, test := range []struct {
		name    string
		ok      bool
		history []Op
	}{
		{"nothing", true, nil},
		{"absent before", true, []Op{a, loads(2, 0, 3, "", "")}},
		{"absent after", false, []Op{a, loads(2, 3, 4, "", "")}},
		{"new while it is written", true, []Op{a, b, loads(2, 6, 7, "b", "2")}},
		{"old while it is written", true, []Op{a, b, loads(2, 6, 7, "a", "1")}},
		{"old after new", false, []Op{a, b, loads(2, 6, 7, "b", "2"), loads(3, 8, 10, "a", "1")}},
		{"new before old, overlapping", true, []Op{a, b, loads(2, 6, 8, "b", "2"), loads(3, 7, 10, "a", "1")}},
		{"too early", false, []Op{a, b, loads(2, 3, 4, "b", "2")}},
		{"stale", false, []Op{a, b, loads(2, 10, 11, "a", "1")}},
		{"two replace one", false, []Op{a, b, saves(2, 6, 8, "c", "1", "3")}},
		{"twice stored", false, []Op{a, b, saves(2, 10, 11, "c", "2", "1")}},
		{"torn", false, []Op{a, b, loads(2, 6, 8, "a", "2")}},
		{"never saved", false, []Op{a, loads(2, 6, 8, "x", "3")}},
		{"before what it replaces", false, []Op{saves(1, 5, 6, "a", "", "1"), saves(2, 1, 3, "b", "1", "2")}},
		{"one version for two records", false, []Op{a, saves(2, 3, 4, "b", "1", "1")}},
		{"a prev never stored", false, []Op{a, saves(2, 6, 8, "c", "7", "8")}},
		{"conflict before the other is done", true, []Op{a, b, ends(saves(2, 6, 7, "c", "1", ""), Conflict)}},
		{"conflict before the other starts", false, []Op{a, b, ends(saves(2, 3, 4, "c", "1", ""), Conflict)}},
		{"conflict without another", false, []Op{a, ends(saves(2, 3, 4, "c", "1", ""), Conflict)}},
		{"conflict with a stranger", true, []Op{a, ends(saves(2, 3, 4, "c", "x", ""), Conflict)}},
		{"conflict that took effect", false, []Op{a, ends(saves(2, 3, 4, "c", "1", ""), Conflict), loads(1, 5, 6, "c", "2")}},
		{"conflict because of a failure", true, []Op{a, ends(saves(2, 3, 4, "c", "1", ""), Unknown), ends(saves(3, 5, 6, "d", "1", ""), Conflict)}},
		{"conflict before the failure", false, []Op{a, ends(saves(2, 5, 6, "c", "1", ""), Unknown), ends(saves(3, 3, 4, "d", "1", ""), Conflict)}},
		{"a failure lands late", true, []Op{a, ends(saves(2, 3, 4, "c", "1", ""), Unknown), loads(3, 5, 6, "a", "1"), loads(3, 7, 8, "c", "2")}},
		{"a failure is undone", false, []Op{a, ends(saves(2, 3, 4, "c", "1", ""), Unknown), loads(3, 5, 6, "c", "2"), loads(3, 7, 8, "a", "1")}},
		{"a failure after a conflict is undone", false, []Op{a, ends(saves(2, 3, 4, "c", "1", ""), Unknown),
			ends(saves(3, 5, 6, "d", "1", ""), Conflict), loads(3, 7, 8, "a", "1")}},
	} {
		err := Check(test.history)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := search(test.history); got != test.ok {
			t.Errorf("%s: the search returns %v", test.name, got)
		}
	}
}

// TestCheckIsExact compares Check with a search of all orders, on random histories of a correct cell in
// which one thing is changed.
func TestCheckIsExact(t *testing.T) {
	good, bad := 0, 0
	for seed := range uint64(10000) {
		r := rand.New(rand.NewPCG(seed, 1))
		history := randomHistory(r)
		if seed%4 > 0 {
			distort(r, history)
		}
		want := search(history)
		if err := Check(history); (err == nil) != want {
			t.Fatalf("seed %d: Check returns %v, the search %v: %v", seed, err, want, history)
		}
		if want {
			good++
		} else {
			bad++
		}
	}
	if good < 1000 || bad < 1000 {
		t.Errorf("%d linearizable and %d other histories: too few of one kind", good, bad)
	}
}

// randomHistory plays three clients on a correct cell.
func randomHistory(r *rand.Rand) []Op {
	type player struct {
		op      *Op
		applied bool
		version string
	}
	var data, version string
	var history []*Op
	players := make([]player, 3)
	apply := func(p *player) {
		p.applied = true
		switch op := p.op; {
		case !op.IsSave:
			op.Data, op.Version = data, version
		case op.Prev != version:
			op.Outcome = Conflict
		default:
			data, version = op.Data, fmt.Sprint("v", op.Data)
			op.Version = version
		}
	}
	for now := int64(1); now < 24; now++ {
		p := &players[r.IntN(len(players))]
		switch {
		case p.op == nil && len(history) < 7:
			p.op = &Op{Client: int(now), Start: now, IsSave: r.IntN(3) > 0, Prev: p.version}
			if p.op.IsSave {
				p.op.Data = fmt.Sprint(now)
			}
			p.applied = false
			history = append(history, p.op)
		case p.op == nil:
		case !p.applied:
			apply(p)
		default:
			p.op.End = now
			if p.op.IsSave && r.IntN(5) == 0 {
				p.op.Outcome, p.op.Version = Unknown, ""
			}
			if p.op.Outcome == Done {
				p.version = p.op.Version
			}
			p.op = nil
		}
	}
	for i := range players {
		if p := &players[i]; p.op != nil {
			if !p.applied {
				apply(p)
			}
			p.op.End = 100
		}
	}
	var all []Op
	for _, op := range history {
		all = append(all, *op)
	}
	return all
}

// distort changes one call, but not what a client has learned before it names a version.
func distort(r *rand.Rand, history []Op) {
	for range 20 {
		op, other := &history[r.IntN(len(history))], history[r.IntN(len(history))]
		free := isUnnamed(history, op.Version)
		switch kind := r.IntN(5); {
		case kind == 0 && op.IsSave && op.Outcome == Unknown:
			op.Outcome = Conflict
		case kind == 1 && op.IsSave && op.Outcome == Conflict:
			op.Outcome, op.Version = Done, "v"+op.Data
		case kind == 2 && op.IsSave && op.Outcome == Done && free:
			op.Outcome, op.Version = Conflict, ""
		case kind == 3 && !op.IsSave && free && other.Outcome == Done && other.Version != op.Version:
			op.Data, op.Version = other.Data, other.Version
		case kind == 4 && op.End > op.Start+1:
			op.End = op.Start + 1
		default:
			continue
		}
		return
	}
}

func isUnnamed(history []Op, version string) bool {
	return !slices.ContainsFunc(history, func(op Op) bool { return op.IsSave && op.Prev == version })
}

// search reports whether some order of the calls explains the history.
func search(history []Op) bool {
	dataOf := map[string]string{"": ""}
	versionOf := map[string]string{"": ""}
	for _, op := range history {
		if op.Outcome != Done {
			continue
		}
		if data, ok := dataOf[op.Version]; ok && data != op.Data {
			return false
		}
		if version, ok := versionOf[op.Data]; ok && version != op.Version {
			return false
		}
		dataOf[op.Version], versionOf[op.Data] = op.Data, op.Version
	}
	var try func(done uint, state string) bool
	try = func(done uint, state string) bool {
		if done == 1<<len(history)-1 {
			return true
		}
		for i, op := range history {
			if done&(1<<i) != 0 || isPreceded(history, done, op) {
				continue
			}
			then := done | 1<<i
			data, stored := dataOf[op.Prev]
			fits := stored && data == state
			switch {
			case !op.IsSave:
				if op.Data == state && try(then, state) {
					return true
				}
			case op.Outcome == Done:
				if fits && try(then, op.Data) {
					return true
				}
			case op.Outcome == Conflict:
				if !fits && try(then, state) {
					return true
				}
			default:
				if try(then, state) || fits && try(then, op.Data) {
					return true
				}
			}
		}
		return false
	}
	return try(0, "")
}

// isPreceded reports whether a call that is not done has ended before op started.
func isPreceded(history []Op, done uint, op Op) bool {
	for i, other := range history {
		if done&(1<<i) == 0 && other.End < op.Start && other.Outcome != Unknown {
			return true
		}
	}
	return false
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
)

// The position is saved in the transaction that does the work, so that each event has its
// effect exactly once: a crash or a failed commit undoes both or neither.
func ExampleStore_transaction() {
	feed := mock.NewFeed(mock.Event("1", "one"), mock.Event("2", "two"), mock.Event("3", "three"), mock.Complete())
	db := &database{failAt: "two"}
	for range 2 { // a supervisor starts the consumer again
		if err := consume(context.Background(), feed, db); err != nil {
			fmt.Println("stopped:", err)
		}
	}
	fmt.Println(strings.Join(db.orders, " "))
	// Output:
	// stopped: the connection was lost
	// one two three
}

// consume subscribes with a negative CommitEvery: only Commit saves.
func consume(ctx context.Context, feed *mock.Feed, db *database) error {
	store := &txStore{db: db}
	sub, err := client.Subscribe(ctx, feed, &client.Options{Name: "orders", Store: store, CommitEvery: -1})
	if err != nil {
		return err
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			return err
		}
		if err := store.handle(ctx, sub, ev); err != nil {
			return err // do not continue: the position in memory is ahead of the stored one
		}
	}
	return nil
}

// handle does the work on one event and moves the position, both or neither.
func (s *txStore) handle(ctx context.Context, sub *client.Subscription, ev client.Event) error {
	s.tx = s.db.begin() // db.BeginTx
	defer s.tx.rollback()
	s.tx.insert(string(ev.Data)) // INSERT INTO orders ...
	if err := ev.Ack(); err != nil {
		return err
	}
	if err := sub.Commit(ctx); err != nil { // calls Save; fails if another consumer has taken over
		return err
	}
	return s.tx.commit()
}

// A txStore saves through the transaction of the current event, and by itself before there is one,
// in Subscribe. tx stays set after its transaction has ended, so that no position can be saved
// without the work that belongs to it.
type txStore struct {
	db *database
	tx *tx // *sql.Tx
}

// Load may be called at any time, from another goroutine. It reads what is committed.
func (s *txStore) Load(_ context.Context, key string) ([]byte, string, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	r := s.db.records[key] // SELECT data, version FROM checkpoints WHERE key = $1
	return r.data, r.tag(), nil
}

func (s *txStore) Save(_ context.Context, key string, data []byte, prev string) (string, error) {
	if s.tx != nil {
		return s.tx.update(key, data, prev) // sql.ErrTxDone if it has ended
	}
	tx := s.db.begin()
	defer tx.rollback()
	version, err := tx.update(key, data, prev)
	if err == nil {
		err = tx.commit()
	}
	return version, err
}

// A database stands for one with transactions: its tables change when one is committed.
type database struct {
	mu      sync.Mutex
	orders  []string
	records map[string]row
	failAt  string // the first commit with this order fails
}

type row struct {
	data    []byte
	version int
}

func (r row) tag() string {
	if r.version == 0 {
		return ""
	}
	return strconv.Itoa(r.version)
}

type tx struct {
	db      *database
	orders  []string
	records map[string]row
	done    bool
}

func (db *database) begin() *tx { return &tx{db: db, records: make(map[string]row)} }

func (t *tx) insert(order string) { t.orders = append(t.orders, order) }

// update is UPDATE checkpoints SET data = $2, version = version + 1 WHERE key = $1 AND
// version = $3, or an INSERT when prev is empty. No row is a conflict.
func (t *tx) update(key string, data []byte, prev string) (string, error) {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	r := t.db.records[key]
	switch {
	case t.done:
		return "", errors.New("the transaction has ended")
	case r.tag() != prev:
		return "", client.ErrConflict
	}
	t.records[key] = row{data, r.version + 1}
	return t.records[key].tag(), nil
}

func (t *tx) commit() error {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	t.done = true
	for _, order := range t.orders {
		if order == t.db.failAt {
			t.db.failAt = ""
			return errors.New("the connection was lost")
		}
	}
	t.db.orders = append(t.db.orders, t.orders...)
	if t.db.records == nil {
		t.db.records = make(map[string]row)
	}
	for key, r := range t.records {
		t.db.records[key] = r
	}
	return nil
}

func (t *tx) rollback() {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	t.done = true
}

var _ client.Store = (*txStore)(nil)

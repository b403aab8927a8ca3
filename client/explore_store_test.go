package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/steadfeed/steadfeed/mock"
)

var errStore = errors.New("the store is ill")

const slow = 6

// fault decides what happens to a call. A store without faults can still be slow.
func (p *process) fault() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.faults.IntN(20)
	if p.calm.Load() && n != slow {
		return -1
	}
	return n
}

// Load is the method of client.Store.
func (p *process) Load(ctx context.Context, key string) ([]byte, string, error) {
	if p.killed.Load() {
		return nil, "", errStore
	}
	switch p.fault() {
	case 0, 1:
		return nil, "", errStore
	case 2, 3:
		p.store.OnLoad(&mock.Fault{Stale: true})
	case slow:
		p.store.OnLoad(&mock.Fault{Delay: 3 * time.Second})
	}
	return p.store.Load(ctx, key)
}

// Save is the method of client.Store.
func (p *process) Save(ctx context.Context, key string, data []byte, prev string) (string, error) {
	p.checkSave(data)
	if p.killed.Load() {
		return "", errStore
	}
	switch p.fault() {
	case 0, 1:
		return "", errStore
	case 2, 3: // it takes effect but fails
		p.store.Save(ctx, key, data, prev)
		return "", errStore
	case 4, 5: // it takes effect after the caller has given up
		time.AfterFunc(time.Duration(len(data))*7*time.Millisecond, func() {
			p.store.Save(context.Background(), key, data, prev)
		})
		return "", errStore
	case slow:
		p.store.OnSave(&mock.Fault{Delay: 3 * time.Second})
	case 7:
		p.store.OnSave(&mock.Fault{Delay: time.Hour})
	}
	return p.store.Save(ctx, key, data, prev)
}

// checkSave looks for an event that the position would pass although it is not settled.
func (p *process) checkSave(data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var r stored
	if err := json.Unmarshal(data, &r); err != nil {
		p.t.Errorf("saved an invalid record: %v", err)
	}
	place, known := p.place[r.Token]
	if !known && r.Token != "" {
		p.t.Errorf("saved token %q, which was never sent", r.Token)
	}
	last := min(p.next(place), p.total()) // it may have the same token
	from := 1
	if p.fresh {
		from += p.first
	}
	for i := from; i <= place; i++ {
		if !p.done[i] && !p.excused(i, last) {
			p.t.Errorf("saved token %q, but event %d is not acknowledged", r.Token, i)
		}
	}
}

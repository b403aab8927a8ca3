package window

import (
	"container/heap"
	"time"
)

// returns holds the events that were delivered and returned. Each operation costs O(log n).
type returns struct {
	waiting queue // events not due at the last removeDue, ordered by time
	due     queue // events that are due, ordered by position
}

// A returned is an event that was returned. The event itself is in its slot.
type returned struct {
	due time.Time
	seq uint64
}

func newReturns() returns {
	return returns{
		waiting: queue{before: func(a, b *returned) bool { return a.due.Before(b.due) }},
		due:     queue{before: func(a, b *returned) bool { return a.seq < b.seq }},
	}
}

// add adds the event at seq.
func (r *returns) add(seq uint64, due time.Time) { heap.Push(&r.waiting, returned{due, seq}) }

// removeDue removes the oldest event that is due and returns its position.
func (r *returns) removeDue(now time.Time) (seq uint64, ok bool) {
	for r.waiting.Len() > 0 && !r.waiting.list[0].due.After(now) {
		heap.Push(&r.due, heap.Pop(&r.waiting))
	}
	if r.due.Len() == 0 {
		return 0, false
	}
	return heap.Pop(&r.due).(returned).seq, true
}

// next returns when the next event is due, which may be in the past. ok is false if there is none.
func (r *returns) next() (due time.Time, ok bool) {
	for _, q := range []*queue{&r.due, &r.waiting} {
		if q.Len() > 0 {
			return q.list[0].due, true
		}
	}
	return time.Time{}, false
}

// queue is a heap.Interface.
type queue struct {
	list   []returned
	before func(a, b *returned) bool
}

func (q *queue) Len() int           { return len(q.list) }
func (q *queue) Less(i, j int) bool { return q.before(&q.list[i], &q.list[j]) }
func (q *queue) Swap(i, j int)      { q.list[i], q.list[j] = q.list[j], q.list[i] }
func (q *queue) Push(x any)         { q.list = append(q.list, x.(returned)) }

func (q *queue) Pop() any {
	last := len(q.list) - 1
	x := q.list[last]
	q.list = q.list[:last]
	if last == 0 {
		q.list = nil // it may have been long
	}
	return x
}

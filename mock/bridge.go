package mock

import (
	"fmt"
	"slices"

	"github.com/steadfeed/steadfeed/mock/internal/bridge"
)

func init() {
	bridge.StepOf = func(step any) bridge.Step { return bridgeStep(step.(Step)) }
	bridge.ExtraOf = func(step any) *bridge.Extra { return &step.(*Step).extra }
	bridge.HooksOf = func(owner any) *bridge.Hooks {
		switch o := owner.(type) {
		case *Feed:
			return &o.hooks
		case *Store:
			return &o.hooks
		case *Observed:
			return &o.hooks
		}
		panic(fmt.Sprintf("mock: %T has no hooks", owner))
	}
	bridge.FeedOf = func(feed any) bridge.Feed { return feedBridge{feed.(*Feed)} }
	bridge.StoreOf = func(store any) bridge.Store { return storeBridge{store.(*Store)} }
}

func bridgeStep(s Step) bridge.Step {
	d := bridge.Step{
		Kind: s.act.String(), Breaks: s.refusesAttempt() || s.act == drops || s.act == ends,
		Pause: s.rest,
	}
	if s.act == garbles {
		d.Raw = append([]byte{}, s.raw...)
	}
	if s.isEvent() {
		d.Event, d.Frame, d.Label = true, s.frame, label(s.frame.ID, s.frame.Data)
	}
	return d
}

type feedBridge struct{ f *Feed }

func (b feedBridge) Left() (n int) {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	for _, s := range b.f.script {
		if s.isEvent() && !b.f.complete {
			n++
		}
	}
	return n
}

func (b feedBridge) Pass(n int) {
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	b.f.playEvents(n)
}

type storeBridge struct{ s *Store }

func (b storeBridge) PassLoads(n int) { b.s.OnLoad(&Fault{Count: n, harmless: true}) }
func (b storeBridge) PassSaves(n int) { b.s.OnSave(&Fault{Count: n, harmless: true}) }

func (b storeBridge) Precede(fault any) {
	f := fault.(*Fault)
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	b.s.onLoad = append([]*Fault{f}, b.s.onLoad...)
	b.s.onSave = append([]*Fault{f}, b.s.onSave...)
}

func (b storeBridge) Used() bool {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	for _, c := range b.s.cells {
		if slices.ContainsFunc(c.past, func(r record) bool { return len(r.data) > 0 }) {
			return true
		}
	}
	return false
}

package client

// doubtAfter is how many events without a certain property make it doubtful that any has it.
const doubtAfter = 32

// A doubt counts the events without a property, until one has it or the doubt is reported.
type doubt struct {
	lacking int
	settled bool
}

// grows counts an event, and reports whether to report the doubt now.
func (d *doubt) grows(has bool) bool {
	if d.settled {
		return false
	}
	d.lacking++
	d.settled = has || d.lacking == doubtAfter
	return d.settled && !has
}

// doubts are about options that need something of the events. Each is logged once.
type doubts struct{ id, repeats, token, number doubt }

// suspect looks for options that an event like all before it makes useless. The event has
// its own token, if any.
func (r *run) suspect(ev *Event) {
	if r.ids != nil && r.doubts.id.grows(ev.ID != "") {
		r.log.Warn("Dedupe has no effect: no event has an ID; give it one with the transport's Control", "events", doubtAfter)
	}
	if r.ids != nil && r.doubts.repeats.grows(ev.settle == nil) {
		r.log.Warn("Dedupe has no effect: the sender repeats events until they are acknowledged; remove Dedupe", "events", doubtAfter)
	}
	if r.checkpoint != nil && r.doubts.token.grows(ev.Token != "" || r.token != "") {
		r.log.Warn("Store has no effect: no event has a token to resume after; set Token", "events", doubtAfter)
	}
}

// suspectNumber is suspect for Options.Sequence.
func (r *run) suspectNumber(ok bool) {
	if r.doubts.number.grows(ok) {
		r.log.Warn("Sequence has no effect: it numbers no event", "events", doubtAfter)
	}
}

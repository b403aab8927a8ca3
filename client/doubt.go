package client

import "github.com/steadfeed/steadfeed/client/internal/window"

// doubtAfter is the number of events without a property after which a doubt is reported.
const doubtAfter = 32

// A doubt counts events without a property, until one has it or the doubt is reported.
type doubt struct {
	lacking int
	settled bool
}

// grows counts an event and reports whether to report the doubt now.
func (d *doubt) grows(has bool) bool {
	if d.settled {
		return false
	}
	d.lacking++
	d.settled = has || d.lacking == doubtAfter
	return d.settled && !has
}

// doubts are about options that need a property of the events. Each is logged once.
type doubts struct{ id, repeats, token, number doubt }

// suspect logs an option that has had no effect on any event so far. e must not have inherited a
// token.
func (in *intake) suspect(e *window.Entry) {
	if in.opts.Dedupe > 0 && in.doubts.id.grows(e.ID != "") {
		in.report.log.Warn("Dedupe has no effect: no event has an ID; set Message.ID in the transport's OnMessage", "events", doubtAfter)
	}
	if in.ids != nil && in.twins == nil && in.doubts.repeats.grows(e.Settle == nil) {
		in.report.log.Warn("Dedupe has no effect: the sender repeats events until they are acknowledged; remove Dedupe", "events", doubtAfter)
	}
	if in.checkpoint != nil && in.doubts.token.grows(e.Token != "" || in.token != "") {
		in.report.log.Warn("Store has no effect: no event has a token to resume after; set TokenOf", "events", doubtAfter)
	}
}

// suspectNumber is suspect for Options.SequenceOf.
func (in *intake) suspectNumber(ok bool) {
	if in.doubts.number.grows(ok) {
		in.report.log.Warn("SequenceOf has no effect: it returned ok false for every event", "events", doubtAfter)
	}
}

package transport

// A Lingerer is a Conn that has work to do after ErrComplete. If Lingers returns true, Close is
// called only once every event of the subscription is settled or the subscription is closed.
type Lingerer interface {
	Lingers() bool
}

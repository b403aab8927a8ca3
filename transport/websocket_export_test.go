package transport

import "time"

// Oversleep makes the connection's clock jump, as that of a process does that is stopped for d.
// Its timers are late by d then.
func (s *Socket) Oversleep(d time.Duration) { s.conn.wire.paused.Add(int64(d)) }

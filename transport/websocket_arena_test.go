package transport_test

import (
	"net"
	"runtime"
	"strings"
	"testing"
)

func TestSmallMessageDoesNotRetainLargeOne(t *testing.T) {
	const rounds, size = 8, 512 << 10
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	w := raw(t, func(conn net.Conn) {
		half := strings.Repeat("x", size/2)
		for range rounds {
			conn.Write(wsFrame(opText, half))
			conn.Write(wsFrame(fin|opContinuation, half))
			conn.Write(wsFrame(fin|opText, "tiny"))
		}
		hangUp(conn)
	})
	conn := openSocket(t, w, "")
	before := heap()
	var kept [][]byte
	for range rounds {
		read(t, conn)
		kept = append(kept, read(t, conn).Data)
	}
	if held := int64(heap() - before); held > rounds*size/2 {
		t.Errorf("%d messages of 4 bytes: got %d KiB retained, want at most %d", len(kept), held>>10, rounds*size/2>>10)
	}
	runtime.KeepAlive(kept)
}

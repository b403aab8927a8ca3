package decode

import "bytes"

// plain cuts the block at the start of buf if it is like most blocks: it is complete, its lines end
// with LF, and it has one data line and perhaps an event and an id. It returns false for any other
// block, and Split then parses it line by line, with the same result.
//
// Its values are not recorded line by line, and one search for a CR serves many blocks. An event of
// 430 bytes takes about a fifth less time than without plain.
func (s *sseSplitter) plain(f *Frame, buf []byte) bool {
	s.findCR(buf, len(buf))
	head := buf[:min(len(buf), s.cr, s.limit)]
	rest := head
	var data, typ, id []byte
	for len(rest) > 0 {
		if rest[0] == '\n' {
			if data == nil {
				return false
			}
			f.Data, f.Type, f.ID = data, s.typeOf(typ), s.keep(id)
			s.next = len(head) - len(rest) + 1
			return true
		}
		end := bytes.IndexByte(rest, '\n')
		switch {
		case end < 0:
			return false
		case data == nil && end >= 5 && string(rest[:5]) == "data:":
			data = trimSpace(rest[5:end:end])
		case id == nil && end >= 3 && string(rest[:3]) == "id:":
			if id = trimSpace(rest[3:end]); len(id) == 0 || hasControl(id) {
				return false
			}
		case typ == nil && end >= 6 && string(rest[:6]) == "event:":
			typ = trimSpace(rest[6:end])
		default:
			return false
		}
		rest = rest[end+1:]
	}
	return false
}

// trimSpace removes one space before a value.
func trimSpace(value []byte) []byte {
	if len(value) > 0 && value[0] == ' ' {
		return value[1:]
	}
	return value
}

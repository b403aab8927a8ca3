package record

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A recordingParser reads a recording line by line.
type recordingParser struct {
	lines *bufio.Reader
	n     int // number of the line read last
	line  string
	held  bool // next returns the line again

	conns int          // connections so far
	open  map[int]bool // connections that are open
}

func (p *recordingParser) parse() (entries []*entry, err error) {
	if line, err := p.next(); err != nil && err != io.EOF {
		return nil, err
	} else if line != recordingHeader {
		return nil, fmt.Errorf("want %q", recordingHeader)
	}
	p.open = make(map[int]bool)
	for {
		e, err := p.entry()
		switch {
		case err == io.EOF:
			return entries, nil
		case err != nil:
			return nil, err
		}
		entries = append(entries, e)
	}
}

// next returns the next line without its line end, and io.EOF after the last one.
func (p *recordingParser) next() (string, error) {
	if p.held {
		p.held = false
		return p.line, nil
	}
	line, err := p.lines.ReadString('\n')
	if line != "" {
		p.n++
	}
	switch {
	case err == io.EOF && line != "":
		return "", fmt.Errorf("missing line end: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return "", err
	}
	// A version control system may have changed the end of the line.
	p.line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	return p.line, nil
}

// entry returns the next entry with its payload.
func (p *recordingParser) entry() (*entry, error) {
	line, err := p.next()
	for err == nil && (line == "" || line[0] == '#') {
		line, err = p.next()
	}
	if err != nil {
		return nil, err
	}
	e, err := parseEntry(line)
	if err != nil {
		return nil, err
	}
	if err := p.follow(e); err != nil {
		return nil, err
	}
	return e, p.payload(e)
}

// follow checks that the connection of the entry is open, or the next one if the entry starts
// one.
func (p *recordingParser) follow(e *entry) error {
	begins := false
	switch e.verb {
	case verbOpen, verbStatus, verbProtocol, verbRefused:
		begins = true
	case verbEnd:
		begins = !p.open[e.conn]
	}
	switch {
	case begins && e.conn != p.conns+1:
		return fmt.Errorf("the next connection is %d, not %d", p.conns+1, e.conn)
	case !begins && !p.open[e.conn]:
		return fmt.Errorf("connection %d is not open", e.conn)
	}
	p.conns = max(p.conns, e.conn)
	switch e.verb {
	case verbOpen:
		p.open[e.conn] = true
	case verbEOF, verbCut, verbClose, verbSilent, verbEnd, verbClosed:
		delete(p.open, e.conn)
	}
	return nil
}

// payload reads the lines that start with a tab.
func (p *recordingParser) payload(e *entry) error {
	var lines []string
	for {
		line, err := p.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, "\t") {
			p.held = true
			break
		}
		if e.verb != verbEvent && e.verb != verbComment {
			return fmt.Errorf("%s takes no payload", e.verb)
		}
		lines = append(lines, line[1:])
	}
	if err := e.fill(lines); err != nil {
		if p.held {
			p.n-- // the error is in the payload, not in the line after it
		}
		return err
	}
	return nil
}

// fill joins the lines of the payload.
func (e *entry) fill(lines []string) error {
	text := strings.Join(lines, "\n")
	switch {
	case e.has("quoted") && (len(lines) != 1 || !strings.HasPrefix(text, `"`)):
		return errors.New("want one line with a double-quoted string")
	case e.has("quoted"):
		s, err := strconv.Unquote(text)
		if err != nil {
			return errors.New("the payload is not a valid double-quoted string")
		}
		e.data = []byte(s)
	case len(lines) > 0 && !isPlain([]byte(text)):
		return errors.New("the payload must be quoted")
	case len(lines) > 0:
		e.data = []byte(text)
	}
	return nil
}

// parseEntry parses the line of an entry.
func parseEntry(line string) (*entry, error) {
	words := strings.SplitN(line, " ", 4)
	if len(words) < 3 {
		return nil, errors.New("want a connection number, a delay and a verb")
	}
	e := &entry{verb: words[2]}
	var err error
	if e.conn, err = strconv.Atoi(words[0]); err != nil || e.conn < 1 {
		return nil, fmt.Errorf("%q is not a connection number", words[0])
	}
	if e.delay, err = time.ParseDuration(words[1]); err != nil || e.delay < 0 {
		return nil, fmt.Errorf("%q is not a delay", words[1])
	}
	if _, known := fieldsOf[e.verb]; !known {
		return nil, fmt.Errorf("unknown verb %q", e.verb)
	}
	if len(words) == 4 {
		if err := e.parseFields(words[3]); err != nil {
			return nil, err
		}
	}
	return e, e.check()
}

// parseFields parses the fields in s, separated by one space.
func (e *entry) parseFields(s string) error {
	for {
		end := strings.IndexAny(s, "= ")
		if end < 0 {
			end = len(s)
		}
		f := field{name: s[:end]}
		s = s[end:]
		switch {
		case !slices.Contains(fieldsOf[e.verb], f.name):
			return fmt.Errorf("%s has no field %q", e.verb, f.name)
		case e.has(f.name):
			return fmt.Errorf("duplicate field %s", f.name)
		case strings.HasPrefix(s, "="):
			var err error
			if f.value, s, err = parseValue(s[1:]); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		case f.name != "quoted":
			return fmt.Errorf("%s needs a value", f.name)
		}
		e.fields = append(e.fields, f)
		if s == "" {
			return nil
		}
		if s[0] != ' ' {
			return fmt.Errorf("%s: want a space after the value", f.name)
		}
		s = s[1:]
	}
}

// parseValue returns the value at the start of s, and what follows it.
func parseValue(s string) (value, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		quoted, err := strconv.QuotedPrefix(s)
		if err != nil {
			return "", "", errors.New("missing closing quote")
		}
		value, err = strconv.Unquote(quoted)
		return value, s[len(quoted):], err
	}
	value, _, _ = strings.Cut(s, " ")
	if !isWord(value) {
		return "", "", errors.New("the value is missing or must be quoted")
	}
	return value, s[len(value):], nil
}

// check checks the values of the fields.
func (e *entry) check() error {
	for _, f := range e.fields {
		var err error
		ok := f.value != ""
		switch f.name {
		case "quoted":
			ok = f.value == ""
		case "token":
			ok = f.value != e.get("id")
		case "code":
			var code int
			code, err = strconv.Atoi(f.value)
			ok = code >= 400 && code < 1000 && e.verb == verbStatus || isCloseCode(code) && e.verb == verbClose
		case "missed":
			_, err = strconv.ParseUint(f.value, 10, 64)
		case "wait":
			var d time.Duration
			d, err = time.ParseDuration(f.value)
			ok = d >= 0
		}
		if err != nil || !ok {
			return fmt.Errorf("%q is not a valid %s", f.value, f.name)
		}
	}
	for verb, name := range map[string]string{verbStatus: "code", verbClose: "code", verbRetry: "wait"} {
		if e.verb == verb && !e.has(name) {
			return fmt.Errorf("%s needs %s", verb, name)
		}
	}
	if e.has("missed") && !e.has("gap") {
		return errors.New("missed needs gap")
	}
	return nil
}

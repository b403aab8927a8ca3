package link

import (
	"strings"
	"testing"
)

// The first and the last of the valid lines are those of GitHub and of RFC 8288, section 3.5.
func TestTarget(t *testing.T) {
	for line, want := range map[string]string{
		`<https://api.github.com/repositories/1300192/issues?page=2>; rel="prev", <https://api.github.com/repositories/1300192/issues?page=4>; rel="next"`: "https://api.github.com/repositories/1300192/issues?page=4",
		`</TheBook/chapter2>; rel="previous"; title*=UTF-8'de'letztes%20Kapitel, </TheBook/chapter4>; rel="next"; title*=UTF-8'de'n%c3%a4chstes%20Kapitel`: "/TheBook/chapter4",
		`<http://example.org/>; rel="start http://example.net/relation/other next"`:                                                                        "http://example.org/",
		`<?a=1,2;3>;rel=NEXT`:             "?a=1,2;3",
		`<a>; title="a, <b>; rel=next"`:   "",
		`<a>; rel=first; rel=next`:        "", // only the first counts (RFC 8288, section 3.3)
		`<a>; rel=nextpage, <b; rel=next`: "",
		``:                                "",
	} {
		if got := Target([]string{line}, "next"); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	if got := Target([]string{"<a>; rel=prev", "<b>; rel=next"}, "next"); got != "b" {
		t.Errorf("two lines: got %q, want b", got)
	}
}

// FuzzTarget reads any header. A target is a part of the line that has its relation.
func FuzzTarget(f *testing.F) {
	f.Add(`<a>; rel="next", <b>; title="\",<"; rel=prev`)
	f.Fuzz(func(t *testing.T, line string) {
		target := Target([]string{line}, "next")
		if !strings.Contains(line, "<"+target+">") && target != "" {
			t.Errorf("Target(%q): got %q, want a part of the line", line, target)
		}
		if target != "" && !strings.Contains(strings.ToLower(line), "rel") {
			t.Errorf("Target(%q): got %q, want none without a relation", line, target)
		}
	})
}

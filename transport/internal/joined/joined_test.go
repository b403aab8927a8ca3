package joined

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestList(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	wrapped := fmt.Errorf("mine: %w", errors.Join(a, b))
	verbs := fmt.Errorf("%w beside %w", a, b)
	for _, tt := range []struct {
		err  error
		want []error
	}{
		{nil, nil},
		{a, []error{a}},
		{errors.Join(a, nil, b), []error{a, b}},
		{errors.Join(errors.Join(a, b), c), []error{a, b, c}},
		{wrapped, []error{wrapped}},
		{verbs, []error{verbs}},
		{errors.Join(wrapped, c), []error{wrapped, c}},
		{empty{}, []error{empty{}}},
	} {
		if got := List(tt.err); !slices.Equal(got, tt.want) {
			t.Errorf("List(%v): %v, want %v", tt.err, got, tt.want)
		}
	}
}

type empty struct{}

func (empty) Error() string   { return "nothing joined" }
func (empty) Unwrap() []error { return nil }

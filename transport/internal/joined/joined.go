// Package joined splits errors that errors.Join has joined.
package joined

import "errors"

// A multi is an error that wraps several others.
type multi interface{ Unwrap() []error }

// List returns the errors that errors.Join has joined, at any depth. It does not split an error
// that wraps joined ones, or one that joins with its own text, as fmt.Errorf does, because that
// text would be lost. List of nil is nil.
func List(err error) (list []error) {
	if err == nil {
		return nil
	}
	parts, ok := err.(multi)
	if !ok {
		return []error{err}
	}
	if again := errors.Join(parts.Unwrap()...); again == nil || again.Error() != err.Error() {
		return []error{err}
	}
	for _, part := range parts.Unwrap() {
		list = append(list, List(part)...)
	}
	return list
}

package provider

import (
	"net/http"
	"slices"
	"strings"
)

// anyHeader is the scheme of a sender that signs with several keys and puts each signature into a
// header of its own. One that matches is enough, whichever key made it.
type anyHeader struct {
	Signature
	more []string // further headers with a signature, in canonical form
}

type anyHeaderVerifier struct {
	*signatureVerifier
	headers []string
}

func (s anyHeader) traits() traits {
	t := s.Signature.traits()
	t.headers = append(t.headers, s.more...)
	return t
}

func (s anyHeader) newVerifier(secrets []secret) (verifier, error) {
	s.Separator = "," // see list
	v, err := s.verifier(secrets)
	if err != nil {
		return nil, err
	}
	return &anyHeaderVerifier{v, append([]string{v.names[0].signature}, s.more...)}, nil
}

func (v *anyHeaderVerifier) precheck(r *Request) error {
	list, err := v.list(r)
	if err != nil {
		return err
	}
	return v.signatureVerifier.precheck(list)
}

func (v *anyHeaderVerifier) verify(r *Request) (match, error) {
	list, err := v.list(r)
	if err != nil {
		return match{}, err
	}
	return v.signatureVerifier.verify(list)
}

// list returns r with the signatures of all headers as a list in the first one.
func (v *anyHeaderVerifier) list(r *Request) (*Request, error) {
	var found []string
	for _, name := range v.headers {
		if len(r.Header[name]) == 0 {
			continue
		}
		line, err := singleHeader(r.Header, name)
		if err != nil {
			return nil, err
		}
		if strings.Contains(line, ",") {
			return nil, malformed("%s is malformed", name)
		}
		found = append(found, line)
	}
	names := v.names[0]
	with := *r
	with.Header = http.Header{}
	if len(found) > 0 {
		with.Header[names.signature] = []string{strings.Join(found, ",")}
	}
	if names.timestamp != "" {
		with.Header[names.timestamp] = slices.Clone(r.Header[names.timestamp])
	}
	return &with, nil
}

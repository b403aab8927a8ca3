package provider

import "errors"

// choice is a sender with several schemes, each with its own form of secrets. A match of any
// one suffices.
type choice struct {
	schemes []Scheme
	of      func(text string) (scheme int, key string, err error)
	strict  bool // a scheme that does not match is final; otherwise the next one is tried
}

// traits merges the traits of all schemes, without doubts: a request may use any of the
// schemes, so the causes of a failed verification are unknown.
func (c choice) traits() (all traits) {
	for _, s := range c.schemes {
		t := s.traits()
		all.headers, all.url = append(all.headers, t.headers...), all.url || t.url
	}
	return all
}

func (c choice) bind(secrets []secret) (verifier, error) {
	if len(secrets) == 0 {
		return nil, errNoSecrets
	}
	var errs []error
	groups := make([][]secret, len(c.schemes))
	for _, s := range secrets {
		i, key, err := c.of(s.text)
		if err != nil {
			errs = append(errs, s.about(err))
			continue
		}
		groups[i] = append(groups[i], secret{key, s.at})
	}
	v := &chosen{strict: c.strict}
	for i, scheme := range c.schemes {
		if len(groups[i]) == 0 {
			continue
		}
		made, err := scheme.bind(groups[i])
		if err != nil {
			errs = append(errs, err)
		}
		if groups[i][0].at == 0 {
			v.first = len(v.schemes)
		}
		v.schemes = append(v.schemes, made)
	}
	return v, errors.Join(errs...)
}

// chosen holds the schemes that have secrets.
type chosen struct {
	schemes []verifier
	first   int // the scheme of the first secret, which signs
	strict  bool
}

func (v *chosen) precheck(r *Request) (err error) {
	for _, one := range v.schemes {
		err = worse(err, one.precheck(r))
		if err == nil || v.strict && isForged(err) {
			return err
		}
	}
	return err
}

func (v *chosen) verify(r *Request) (m match, err error) {
	for _, one := range v.schemes {
		var failure error
		if m, failure = one.verify(r); failure == nil {
			return m, nil
		}
		err = worse(err, failure)
		if v.strict && isForged(err) {
			break
		}
	}
	return match{}, err
}

// worse returns the more informative error: busy, or a failed verification, rather than
// credentials that are missing.
func worse(a, b error) error {
	switch {
	case a == nil || b == nil:
		return b
	case isChallenge(a) && !isBusy(b):
		return a
	case isForged(b) && !isBusy(a), isBusy(b):
		return b
	}
	return a
}

func (v *chosen) sign(r *Request, id string) error { return v.schemes[v.first].sign(r, id) }

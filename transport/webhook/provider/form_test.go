package provider_test

import (
	"bytes"
	"maps"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// multipartForm returns a form with pairs of names and values, and a file, and its type.
func multipartForm(pairs ...string) (body, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	file := must(w.CreateFormFile("attachment-1", "token"))
	file.Write([]byte("token=evil\r\nsignature: x"))
	for i := 0; i < len(pairs); i += 2 {
		w.WriteField(pairs[i], pairs[i+1])
	}
	w.Close()
	return b.String(), w.FormDataContentType()
}

// The signature of a route is in its form (Mailgun's documentation, "Securing webhooks" and
// "Routes"). Mailgun sends a multipart form if the mail has attachments.
func TestMailgunRoutes(t *testing.T) {
	signature := hexMAC(seconds + "tok")
	valid := []string{"recipient", "a@example.com", "timestamp", seconds, "token", "tok", "signature", signature, "subject", "a&b=c"}
	plain := func(pairs []string) (string, string) {
		var list []string
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, url.QueryEscape(pairs[i])+"="+url.QueryEscape(pairs[i+1]))
		}
		return strings.Join(list, "&"), "application/x-www-form-urlencoded"
	}
	parts := func(pairs []string) (string, string) { return multipartForm(pairs...) }
	for name, encode := range map[string]func([]string) (string, string){"plain": plain, "multipart": parts} {
		for _, c := range []struct {
			pairs []string
			want  string
		}{
			{valid, "none"},
			{append(slices.Clone(valid), "token", "other"), "malformed"},
			{append([]string{"signature", "00"}, valid...), "malformed"},
			{valid[:6], "malformed"},
			{[]string{"timestamp", seconds, "token", "other", "signature", signature}, "forged"},
		} {
			body, contentType := encode(c.pairs)
			p := provider.Mailgun(key)
			r := &provider.Request{Method: "POST", Header: header("Content-Type", contentType), Body: []byte(body), Time: at}
			r.Header.Set("Content-Type", contentType)
			d := wantKind(t, p, r, c.want)
			if c.want == "none" && (d.ID != "tok" || d.Proof != transport.ProofMetadata || len(d.Events) != 1 || string(d.Events[0].Data) != body) {
				t.Errorf("%s: got %+v", name, d)
			}
		}
	}
	// Sign adds the fields to a form.
	p := provider.Mailgun(key)
	r := &provider.Request{Method: "POST", Header: header(), Body: []byte("subject=a%26b"), Time: at}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := p.Sign(r, "tok"); err != nil {
		t.Fatal(err)
	}
	wantKind(t, p, r, "none")
	if form := must(url.ParseQuery(string(r.Body))); form.Get("subject") != "a&b" {
		t.Errorf("got %v, want the subject a&b", form)
	}
}

func TestTokenPlaces(t *testing.T) {
	form, formType := multipartForm("token", key)
	twice, twiceType := multipartForm("token", key, "token", key)
	const urlencoded = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		scheme            provider.Token
		body, contentType string
		path, want        string
	}{
		{provider.Token{Form: "token"}, "a=1&token=" + key, urlencoded, "", "none"},
		{provider.Token{Form: "token"}, "a=1&token=" + key + "&token=" + key, urlencoded, "", "malformed"},
		{provider.Token{Form: "token"}, "a=1&token=guess", urlencoded, "", "forged"},
		{provider.Token{Form: "token"}, "a=1", urlencoded, "", "malformed"},
		{provider.Token{Form: "token"}, "a=%&token=" + key, urlencoded, "", "none"}, // not this field
		{provider.Token{Form: "token"}, "%=1&token=" + key, urlencoded, "", "malformed"},
		{provider.Token{Form: "token"}, "a;token=" + key, urlencoded, "", "malformed"},
		{provider.Token{Form: "token"}, form, formType, "", "none"},
		{provider.Token{Form: "token"}, twice, twiceType, "", "malformed"},
		{provider.Token{Form: "token"}, form, "multipart/form-data", "", "malformed"},
		{provider.Token{Form: "token"}, form[:len(form)-20], formType, "", "malformed"},
		{provider.Token{Form: "attachment-1"}, form, formType, "", "malformed"},
		{provider.Token{Path: "auth.token"}, `{"auth":{"token":"` + key + `"}}`, "", "", "none"},
		{provider.Token{Path: "auth.token"}, `{"auth":{"token":"guess"}}`, "", "", "forged"},
		{provider.Token{Path: "auth.token"}, `{"auth":{"token":"` + key + `","token":"x"}}`, "", "", "malformed"},
		{provider.Token{Path: "auth.token"}, `{}`, "", "", "malformed"},
		{provider.Token{Wildcard: "secret"}, `{}`, "", key, "none"},
		{provider.Token{Wildcard: "secret"}, `{}`, "", "guess", "forged"},
		{provider.Token{Wildcard: "secret"}, `{}`, "", "", "malformed"},
	} {
		p := &provider.Provider{Name: "x", Scheme: c.scheme}
		if err := p.SetSecrets(key); err != nil {
			t.Fatal(err)
		}
		r := &provider.Request{Method: "POST", URL: "/", Header: header(), Body: []byte(c.body), Time: at, HTTP: get("").HTTP}
		if c.contentType != "" {
			r.Header.Set("Content-Type", c.contentType)
		}
		r.HTTP = withPathValue("secret", c.path)
		if c.want == "none" {
			early := *r
			early.Body = nil
			if err := p.Precheck(&early); err != nil {
				t.Errorf("%+v: Precheck: %v", c.scheme, err)
			}
		}
		if c.scheme.Wildcard != "" && c.want != "none" && p.Precheck(r) == nil {
			t.Errorf("%+v: Precheck accepts a token that does not match", c.scheme)
		}
		_, err := p.Receive(r)
		if got := refusalOf(err); got != c.want {
			t.Errorf("%+v with %q: got %s (%v), want %s", c.scheme, c.body, got, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), key) {
			t.Errorf("the error has the secret: %v", err)
		}
	}
	for _, s := range []provider.Token{{Form: "token"}, {Path: "token"}} {
		p := &provider.Provider{Name: "x", Scheme: s}
		p.SetSecrets(key)
		r := &provider.Request{Method: "POST", Header: header(), Body: []byte(`{}`), Time: at}
		if s.Form != "" {
			r.Body = []byte("a=1")
		}
		if err := p.Sign(r, ""); err != nil {
			t.Fatal(err)
		}
		wantKind(t, p, r, "none")
	}
}

// FuzzForm compares the fields of a form with what the standard library finds.
func FuzzForm(f *testing.F) {
	body, contentType := multipartForm("a", "1", "b", "2", "a", "3")
	f.Add([]byte(body), contentType, "a")
	f.Add([]byte("a=1&b=2&a=%20+&&=x&c"), "application/x-www-form-urlencoded", "a")
	f.Add([]byte("%zz=1&a=2"), "application/x-www-form-urlencoded", "a")
	f.Add([]byte("a=1;b=2"), "application/x-www-form-urlencoded", "a")
	f.Fuzz(func(t *testing.T, body []byte, contentType, name string) {
		r := &provider.Request{Method: "POST", Header: header(), Body: body, Time: at}
		r.Header.Set("Content-Type", contentType)
		value, n, ok := provider.FormField(r, body, name)
		if provider.IsMultipart(contentType) {
			return // only that it ends: mime/multipart is the parser
		}
		form, err := url.ParseQuery(string(body))
		if err == nil && (!ok || n != len(form[name]) || n > 0 && value != form[name][0]) {
			t.Errorf("%q: got %q of %d, %v, want %q", body, value, n, ok, form[name])
		}
		if ok && n > 0 && !slices.Contains(slices.Concat(slices.Collect(maps.Values(form))...), value) && err == nil {
			t.Errorf("%q: got %q, which is not in the form", body, value)
		}
	})
}

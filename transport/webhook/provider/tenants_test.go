package provider_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// secretOf is the secret of a tenant in these tests.
func secretOf(tenant string) string { return "the secret of " + tenant }

// a directory is a Tenants.Secrets that counts its lookups.
type directory struct {
	secrets map[string][]string
	err     error
	took    time.Duration

	mu            sync.Mutex // of what follows
	asked         map[string]int
	running, most int
}

func (d *directory) lookup(ctx context.Context, tenant string) ([]string, error) {
	d.mu.Lock()
	d.running++
	d.most = max(d.most, d.running)
	d.asked[tenant]++
	found, err := d.secrets[tenant], d.err
	d.mu.Unlock()
	select {
	case <-time.After(d.took):
	case <-ctx.Done():
		found, err = nil, context.Cause(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
	return found, err
}

// tenants returns a GitHub for the tenants "a" and "b", named in the header.
func tenants() (*provider.Provider, *directory) {
	d := &directory{secrets: map[string][]string{"a": {secretOf("a")}, "b": {secretOf("b")}}, asked: map[string]int{}}
	p := provider.GitHub()
	p.Tenants = provider.Tenants{Name: provider.Source{Header: "X-Tenant"}, Secrets: d.lookup}
	return p, d
}

// from returns a delivery of a tenant, signed with a secret.
func from(t testing.TB, tenant, secret string) *provider.Request {
	t.Helper()
	r := &provider.Request{Method: "POST", URL: "https://example.com/", Header: http.Header{}, Body: []byte(body), Time: time.Now()}
	if err := provider.GitHub(secret).Sign(r, "1"); err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Tenant", tenant)
	return r
}

// refusalOf returns the behaviours of an error, and its text after the last colon.
func refusalOf(err error) string {
	if err == nil {
		return "none"
	}
	var kinds []string
	var f interface{ Forged() bool }
	var b interface{ Busy() bool }
	var u interface{ Unknown() bool }
	var l interface{ TooLarge() bool }
	if errors.As(err, &f) && f.Forged() {
		kinds = append(kinds, "forged")
	}
	if errors.As(err, &u) && u.Unknown() {
		kinds = append(kinds, "unknown")
	}
	if errors.As(err, &b) && b.Busy() {
		kinds = append(kinds, "busy")
	}
	if errors.As(err, &l) && l.TooLarge() {
		kinds = append(kinds, "large")
	}
	if len(kinds) == 0 {
		return "malformed"
	}
	return strings.Join(kinds, " ")
}

func wantKind(t testing.TB, p *provider.Provider, r *provider.Request, want string) *provider.Delivery {
	t.Helper()
	d, err := p.Receive(r)
	if got := refusalOf(err); got != want {
		t.Fatalf("got %s (%v), want %s", got, err, want)
	}
	return d
}

func TestTenants(t *testing.T) {
	p, dir := tenants()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tenant, secret, want string
	}{
		{"a", secretOf("a"), "none"},
		{"b", secretOf("b"), "none"},
		{"a", secretOf("b"), "forged"}, // what one tenant signs is not accepted for another
		{"c", secretOf("a"), "forged unknown"},
		{"c", "another secret", "forged unknown"},
		{"", secretOf("a"), "malformed"},
		{strings.Repeat("a", 257), secretOf("a"), "malformed"},
	} {
		r := from(t, c.tenant, c.secret)
		d := wantKind(t, p, r, c.want)
		if c.want == "none" && (d.Tenant != c.tenant || r.Tenant() != c.tenant) {
			t.Errorf("%s: got the tenant %q", c.tenant, d.Tenant)
		}
		if c.tenant == "c" && r.Tenant() != "" {
			t.Errorf("unknown tenant: got %q, want none", r.Tenant())
		}
	}
	if dir.asked[strings.Repeat("a", 257)] != 0 || dir.asked[""] != 0 {
		t.Errorf("looked up %v, want no name that is too long or empty", dir.asked)
	}
	twice := from(t, "a", secretOf("a"))
	twice.Header["X-Tenant"] = []string{"a", "b"}
	wantKind(t, p, twice, "malformed")
	if err := p.Sign(from(t, "a", secretOf("a")), "1"); err == nil {
		t.Error("Sign: got no error, want one")
	}
	if err := p.SetSecrets("another secret"); err == nil {
		t.Error("SetSecrets: got no error, want one")
	}
}

// A name can be in the path, the header, the query, JSON or a form.
func TestTenantName(t *testing.T) {
	withPath := func(r *provider.Request) {
		r.HTTP = &http.Request{}
		r.HTTP.SetPathValue("tenant", "a")
	}
	for _, c := range []struct {
		name    provider.Source
		body    string
		change  func(*provider.Request)
		want    string
		unread  bool // the name is known without the body
		tenant  string
		content string
	}{
		{name: provider.Source{Wildcard: "tenant"}, change: withPath, want: "none", unread: true},
		{name: provider.Source{Wildcard: "other"}, change: withPath, want: "malformed", unread: true},
		{name: provider.Source{Wildcard: "tenant"}, want: "malformed", unread: true},
		{name: provider.Source{Query: "t"}, change: func(r *provider.Request) { r.URL += "?t=a" }, want: "none", unread: true},
		{name: provider.Source{Query: "t"}, change: func(r *provider.Request) { r.URL += "?t=a&t=b" }, want: "malformed", unread: true},
		{name: provider.Source{Path: []string{"shop", "account.id"}}, body: `{"account":{"id":"a"}}`, want: "none"},
		{name: provider.Source{Path: []string{"account.id"}}, body: `{"account":{"id":"a"},"account":{"id":"b"}}`, want: "malformed"},
		{name: provider.Source{Path: []string{"account.id"}}, body: `{"account":{"id":"a"},"Account":{"id":"b"}}`, want: "malformed"},
		{name: provider.Source{Path: []string{"account.id"}}, body: `{"account":`, want: "malformed"},
		{name: provider.Source{Form: []string{"AccountSid"}}, body: "x=1&AccountSid=%61", content: "application/x-www-form-urlencoded", want: "none"},
		{name: provider.Source{Form: []string{"AccountSid"}}, body: "AccountSid=a&AccountSid=b", content: "application/x-www-form-urlencoded", want: "malformed"},
		{name: provider.Source{Form: []string{"x", "y"}}, body: "x=a&y=b", content: "application/x-www-form-urlencoded", want: "malformed"},
		{
			name: provider.Source{Form: []string{"AccountSid"}}, content: `multipart/form-data; boundary="b"`, want: "none",
			body: "--b\r\nContent-Disposition: form-data; name=AccountSid\r\n\r\na\r\n--b--\r\n",
		},
	} {
		p, dir := tenants()
		p.Tenants.Name = c.name
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		r := &provider.Request{Method: "POST", URL: "https://example.com/", Header: http.Header{}, Body: []byte(c.body), Time: at}
		if c.content != "" {
			r.Header.Set("Content-Type", c.content)
		}
		if err := provider.GitHub(secretOf("a")).Sign(r, ""); err != nil {
			t.Fatal(err)
		}
		if c.change != nil {
			c.change(r)
		}
		early := p.Precheck(r)
		if n := dir.asked["a"]; c.want == "none" && (n == 1) != c.unread {
			t.Errorf("%+v: %d lookups before the body, want %v", c.name, n, c.unread)
		}
		if c.want == "none" && early != nil {
			t.Errorf("%+v: Precheck: %v", c.name, early)
		}
		wantKind(t, p, r, c.want)
	}
}

func TestTenantsCache(t *testing.T) {
	run := func(name string, f func(t *testing.T, p *provider.Provider, d *directory)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, d := tenants()
				f(t, p, d)
			})
		})
	}
	asked := func(t *testing.T, d *directory, tenant string, want int) {
		t.Helper()
		if n := d.asked[tenant]; n != want {
			t.Fatalf("%s was looked up %d times, want %d", tenant, n, want)
		}
	}
	run("secrets are cached for TTL", func(t *testing.T, p *provider.Provider, d *directory) {
		for range 3 {
			wantKind(t, p, from(t, "a", secretOf("a")), "none")
		}
		time.Sleep(5*time.Minute - 1)
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		asked(t, d, "a", 1)
		time.Sleep(time.Nanosecond)
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		asked(t, d, "a", 2)
	})
	run("another TTL", func(t *testing.T, p *provider.Provider, d *directory) {
		p.Tenants.TTL = time.Second
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		time.Sleep(time.Second)
		delete(d.secrets, "a")
		wantKind(t, p, from(t, "a", secretOf("a")), "forged unknown")
	})
	run("an unknown name is remembered for 10 s", func(t *testing.T, p *provider.Provider, d *directory) {
		for range 3 {
			wantKind(t, p, from(t, "c", secretOf("c")), "forged unknown")
		}
		time.Sleep(10*time.Second - 1)
		wantKind(t, p, from(t, "c", secretOf("c")), "forged unknown")
		asked(t, d, "c", 1)
		d.secrets["c"] = []string{secretOf("c")}
		time.Sleep(time.Nanosecond)
		wantKind(t, p, from(t, "c", secretOf("c")), "none")
	})
	run("a rotation needs no waiting", func(t *testing.T, p *provider.Provider, d *directory) {
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		time.Sleep(10 * time.Second)
		d.secrets["a"] = []string{"a newer secret"}
		wantKind(t, p, from(t, "a", "a newer secret"), "none")
		asked(t, d, "a", 2)
		wantKind(t, p, from(t, "a", secretOf("a")), "forged")
		asked(t, d, "a", 2)
	})
	run("wrong signatures cause a lookup in 10 s", func(t *testing.T, p *provider.Provider, d *directory) {
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		for range 100 {
			wantKind(t, p, from(t, "a", "a guess"), "forged")
			time.Sleep(time.Second)
		}
		if n := d.asked["a"]; n < 5 || n > 11 {
			t.Errorf("%d lookups in 100 s, want about 10", n)
		}
	})
	run("a removed tenant is unknown after a mismatch", func(t *testing.T, p *provider.Provider, d *directory) {
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		time.Sleep(10 * time.Second)
		delete(d.secrets, "a")
		r := from(t, "a", "a guess")
		wantKind(t, p, r, "forged unknown")
		if r.Tenant() != "" {
			t.Errorf("got the tenant %q, want none", r.Tenant())
		}
	})
	run("Forget", func(t *testing.T, p *provider.Provider, d *directory) {
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		delete(d.secrets, "a")
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		p.Forget("a")
		p.Forget("never seen")
		wantKind(t, p, from(t, "a", secretOf("a")), "forged unknown")
	})
	run("Forget during a lookup", func(t *testing.T, p *provider.Provider, d *directory) {
		d.took = time.Second
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Receive(from(t, "a", secretOf("a")))
		}()
		synctest.Wait()
		delete(d.secrets, "a")
		p.Forget("a")
		<-done
		wantKind(t, p, from(t, "a", secretOf("a")), "forged unknown")
	})
	run("a failure is busy, and remembered for 1 s", func(t *testing.T, p *provider.Provider, d *directory) {
		d.err = errors.New("no database")
		for range 3 {
			wantKind(t, p, from(t, "a", secretOf("a")), "busy")
		}
		asked(t, d, "a", 1)
		time.Sleep(time.Second)
		d.err = nil
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
	})
	run("a failure leaves cached secrets in use", func(t *testing.T, p *provider.Provider, d *directory) {
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		time.Sleep(10 * time.Second)
		d.err = errors.New("no database")
		wantKind(t, p, from(t, "a", "a guess"), "busy") // it may be a newer secret
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
	})
	run("invalid secrets are busy", func(t *testing.T, p *provider.Provider, d *directory) {
		d.secrets["a"] = []string{"x"}
		_, err := p.Receive(from(t, "a", secretOf("a")))
		if refusalOf(err) != "busy" || !strings.Contains(err.Error(), "secret 0 is shorter than 4 bytes") {
			t.Errorf("got %v, want a busy error about secret 0", err)
		}
	})
	run("concurrent requests share a lookup", func(t *testing.T, p *provider.Provider, d *directory) {
		d.took = time.Second
		var ok atomic.Int32
		for range 100 {
			go func() {
				if _, err := p.Receive(from(t, "a", secretOf("a"))); err == nil {
					ok.Add(1)
				}
			}()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if ok.Load() != 100 {
			t.Errorf("%d of 100 were accepted", ok.Load())
		}
		asked(t, d, "a", 1)
	})
	run("a sender that hangs up does not spoil the lookup", func(t *testing.T, p *provider.Provider, d *directory) {
		d.took = time.Second
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			go func() {
				r := from(t, "a", secretOf("a"))
				r.Context = ctx
				p.Receive(r)
			}()
		}
		synctest.Wait()
		cancel()
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		asked(t, d, "a", 1)
	})
	run("a request waits until its deadline", func(t *testing.T, p *provider.Provider, d *directory) {
		d.took = time.Hour
		start := time.Now()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				r := from(t, "a", secretOf("a"))
				r.Deadline = start.Add(2 * time.Second)
				_, err := p.Receive(r)
				if took := time.Since(start); took != 2*time.Second || refusalOf(err) != "busy" {
					t.Errorf("got %v after %v, want busy after 2 s", err, took)
				}
			})
		}
		both.Wait()
		start = time.Now()
		wantKind(t, p, from(t, "b", secretOf("b")), "busy")
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %v, want 5 s", took)
		}
	})
	run("a panic is not a tenant", func(t *testing.T, p *provider.Provider, d *directory) {
		lookup := p.Tenants.Secrets
		p.Tenants.Secrets = func(context.Context, string) ([]string, error) { panic("no map") }
		func() {
			defer func() {
				if recover() != "no map" {
					t.Error("the panic did not reach the caller")
				}
			}()
			p.Receive(from(t, "a", secretOf("a")))
		}()
		time.Sleep(time.Second)
		p.Tenants.Secrets = lookup
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
	})
	run("made-up names neither fill the cache nor block tenants", func(t *testing.T, p *provider.Provider, d *directory) {
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		for i := range provider.MaxStrangers + 500 {
			wantKind(t, p, from(t, fmt.Sprint("stranger ", i), "a guess"), "forged unknown")
		}
		if n := p.CachedTenants(); n > provider.MaxStrangers+1 {
			t.Errorf("%d names are cached, want %d at most", n, provider.MaxStrangers+1)
		}
		asked(t, d, "a", 1)
		wantKind(t, p, from(t, "a", secretOf("a")), "none")
		asked(t, d, "a", 1)

		d.took, d.most = 4*time.Second, 0
		for i := range 100 {
			go p.Receive(from(t, fmt.Sprint("slow ", i), "a guess"))
		}
		synctest.Wait()
		d.mu.Lock()
		if d.most != 16 {
			t.Errorf("%d lookups of new names at once, want 16", d.most)
		}
		d.mu.Unlock()
		time.Sleep(5 * time.Minute)
	})
}

// A forger cannot distinguish an unknown tenant: the request is compared with the secrets of another,
// also before its body is read, and is refused whatever the result is.
func TestUnknownTenantCostsTheSame(t *testing.T) {
	compared := 0
	p, _ := tenants()
	p.Scheme = provider.Custom{
		Precheck: func(*provider.Request) error { compared++; return nil },
		Verify:   func(_ *provider.Request, secrets []string) (int, error) { compared++; return 0, nil },
	}
	r := from(t, "a", "anything")
	wantKind(t, p, r, "none")
	for _, tenant := range []string{"a", "made up"} {
		compared = 0
		r := from(t, tenant, "anything")
		if err := p.Precheck(r); err != nil {
			t.Fatal(err)
		}
		_, err := p.Receive(r)
		if compared != 2 {
			t.Errorf("%s: compared %d times, want 2", tenant, compared)
		}
		if tenant == "made up" && refusalOf(err) != "forged unknown" {
			t.Errorf("got %v, although the secret of another tenant matches", err)
		}
	}
}

// Nor by a request that is malformed.
func TestUnknownTenantMalformed(t *testing.T) {
	p, _ := tenants()
	wantKind(t, p, from(t, "b", secretOf("b")), "none")
	for _, tenant := range []string{"a", "made up"} {
		for name, want := range map[string]string{"X-Hub-Signature-256": "malformed", "X-Tenant": "malformed"} {
			r := from(t, tenant, "a guess")
			r.Header.Del(name)
			if got := refusalOf(p.Precheck(r)); got != want {
				t.Errorf("%s without %s: Precheck: got %s, want %s", tenant, name, got, want)
			}
			wantKind(t, p, r, want)
		}
	}
}

func TestValidateTenants(t *testing.T) {
	lookup := func(context.Context, string) ([]string, error) { return nil, nil }
	name := provider.Source{Header: "X-Tenant"}
	for want, change := range map[string]func(p *provider.Provider){
		"": func(p *provider.Provider) { p.Tenants = provider.Tenants{Name: name, Secrets: lookup} },
		"Tenants.Name needs one of Header, Wildcard, Query, Path and Form": func(p *provider.Provider) { p.Tenants = provider.Tenants{Secrets: lookup} },
		"Tenants.Secrets is nil":  func(p *provider.Provider) { p.Tenants = provider.Tenants{Name: name} },
		"Tenants.TTL is negative": func(p *provider.Provider) { p.Tenants = provider.Tenants{Name: name, Secrets: lookup, TTL: -1} },
		"Tenants replaces the secrets": func(p *provider.Provider) {
			p.SetSecrets(key)
			p.Tenants = provider.Tenants{Name: name, Secrets: lookup}
		},
		"Signature.Header is empty": func(p *provider.Provider) {
			p.Tenants, p.Scheme = provider.Tenants{Name: name, Secrets: lookup}, provider.Signature{}
		},
		"Scheme is nil": func(p *provider.Provider) { p.Tenants, p.Scheme = provider.Tenants{Name: name, Secrets: lookup}, nil },
		"Tenants.Name is in the body": func(p *provider.Provider) {
			p.Tenants = provider.Tenants{Name: provider.Source{Path: []string{"a"}}, Secrets: lookup}
			p.Gzip = provider.GzipCompressed
		},
		"Custom.Verify is nil": func(p *provider.Provider) {
			p.Tenants, p.Scheme = provider.Tenants{Name: name, Secrets: lookup}, provider.Custom{}
		},
		"unknown Gzip":     func(p *provider.Provider) { p.SetSecrets(key); p.Gzip = 3 },
		`"get" in Methods`: func(p *provider.Provider) { p.SetSecrets(key); p.Methods = []string{"get"} },
		"ClientNames":      func(p *provider.Provider) { p.SetSecrets(key); p.ClientNames = []string{""} },
		"1 of Networks": func(p *provider.Provider) {
			p.SetSecrets(key)
			p.Networks = networks("192.0.2.0/24", "::ffff:192.0.2.0/120")
		},
		"0 of Networks":     func(p *provider.Provider) { p.SetSecrets(key); p.Networks = networks("") },
		"Token.Prefix need": func(p *provider.Provider) { p.Scheme = provider.Token{Form: "a", Prefix: "b"}; p.SetSecrets(key) },
	} {
		p := provider.GitHub()
		change(p)
		err := p.Validate()
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("got %v, want one error with %q", err, want)
		}
	}
	p := provider.GitHub()
	p.Tenants = provider.Tenants{Name: name, Secrets: lookup}
	p.Scheme = provider.Custom{
		Verify:   func(*provider.Request, []string) (int, error) { return 0, nil },
		Validate: func(secrets []string) error { return errors.New("needs a secret") },
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
}

// The answers that need a secret use that of the tenant.
func TestTenantsOfHandshakes(t *testing.T) {
	p, _ := tenants()
	zoom := provider.Zoom()
	zoom.Tenants = p.Tenants
	body := `{"event":"endpoint.url_validation","payload":{"plainToken":"p"}}`
	r := &provider.Request{Method: "POST", Header: http.Header{}, Body: []byte(body), Time: at}
	if err := provider.Zoom(secretOf("b")).Sign(r, ""); err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Tenant", "b")
	want := wantKind(t, provider.Zoom(secretOf("b")), r, "none").Answer
	got := wantKind(t, zoom, r, "none").Answer
	if got == nil || string(got.Body) != string(want.Body) || got.Status != 200 {
		t.Errorf("zoom: got %+v, want %s", got, want.Body)
	}

	x := provider.X()
	x.Tenants = p.Tenants
	challenge := get(url.Values{"crc_token": {"t"}}.Encode())
	wantX, _ := handshake(provider.X(secretOf("b")), challenge)
	for tenant, want := range map[string]string{"b": string(wantX.Body), "c": "", "": ""} {
		r := get(url.Values{"crc_token": {"t"}}.Encode())
		r.Header = http.Header{"X-Tenant": {tenant}}
		a, ok := handshake(x, r)
		if !ok || string(a.Body) != want {
			t.Errorf("x, tenant %q: got %+v, want %q", tenant, a, want)
		}
	}
	notion := provider.Notion(func(string) bool { return true })
	notion.Tenants = p.Tenants
	r = &provider.Request{Method: "POST", Header: http.Header{"X-Tenant": {"a"}}, Body: []byte(`{"verification_token":"secret_a"}`)}
	if a, ok := handshake(notion, r); !ok || a.Status != 200 {
		t.Errorf("notion: got %+v, want 200", a)
	}
	if err := notion.Validate(); err != nil {
		t.Errorf("notion: %v: the token of one tenant became a secret of all", err)
	}
}

package retry_test

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

const (
	ms     = time.Millisecond
	sec    = time.Second
	minute = time.Minute
)

// still returns p without anything random.
func still(p retry.Policy) retry.Policy {
	p.Jitter = -1
	return p
}

// rule returns a policy with one rule.
func rule(c retry.Class, r retry.Rule) retry.Policy {
	return retry.Policy{Classes: map[retry.Class]retry.Rule{c: r}}
}

// delays returns the first n delays of p after failures that are all f. It ends with -1 where p
// stops.
func delays(p retry.Policy, f retry.Failure, n int) []time.Duration {
	b := p.Start()
	var ds []time.Duration
	for range n {
		d := b.Next(f)
		if d.Stop {
			return append(ds, -1)
		}
		ds = append(ds, d.Delay)
	}
	return ds
}

// checkDelays compares the delays of p after failures that are all f.
func checkDelays(t *testing.T, p retry.Policy, f retry.Failure, want []time.Duration) {
	t.Helper()
	if got := delays(p, f, len(want)); !slices.Equal(got, want) {
		t.Errorf("got delays %v\nwant       %v", got, want)
	}
}

// doubled returns n delays that double from first to most.
func doubled(first, most time.Duration, n int) (ds []time.Duration) {
	for d := first; len(ds) < n; d *= 2 {
		if d > most {
			d = most
		}
		ds = append(ds, d)
	}
	return ds
}

func repeat(d time.Duration, n int) []time.Duration {
	return slices.Repeat([]time.Duration{d}, n)
}

func TestPolicies(t *testing.T) {
	stop := []time.Duration{-1}
	fails := func(err error) retry.Failure { return retry.Failure{Err: err} }
	constant := retry.Constant(50 * ms)

	for name, tt := range map[string]struct {
		policy  retry.Policy
		failure retry.Failure
		want    []time.Duration
	}{
		"default reconnect": {retry.Policy{}, lost, repeat(sec, 5)},
		"default network":   {retry.Policy{}, fails(io.EOF), doubled(500*ms, 30*sec, 20)},
		"default cut":       {retry.Policy{}, fails(io.ErrUnexpectedEOF), doubled(500*ms, 30*sec, 20)},
		"default 503":       {retry.Policy{}, fails(status(503)), doubled(sec, minute, 20)},
		"default 429":       {retry.Policy{}, fails(status(429)), doubled(5*sec, 15*minute, 20)},
		"default 401":       {retry.Policy{}, fails(status(401)), stop},
		"default protocol":  {retry.Policy{}, fails(garbage{}), []time.Duration{sec, 2 * sec, 4 * sec, -1}},
		"default token":     {retry.Policy{}, fails(gone{410}), doubled(sec, 30*sec, 20)},
		"default permanent": {retry.Policy{}, fails(status(404)), stop},
		"default 204":       {retry.Policy{}, fails(status(204)), stop},
		"default HTML page": {retry.Policy{}, fails(finalGarbage{}), stop},

		"constant reconnect":   {constant, lost, repeat(50*ms, 5)},
		"constant network":     {constant, fails(io.EOF), repeat(50*ms, 50)},
		"constant 503":         {constant, fails(status(503)), repeat(50*ms, 5)},
		"constant 429":         {constant, fails(status(429)), repeat(50*ms, 5)},
		"constant token":       {constant, fails(gone{410}), repeat(50*ms, 5)},
		"constant protocol":    {constant, fails(garbage{}), []time.Duration{50 * ms, 50 * ms, 50 * ms, -1}},
		"constant 401":         {constant, fails(status(401)), stop},
		"constant Retry-After": {constant, fails(later{503, sec}), repeat(sec, 3)},
		"constant zero":        {retry.Constant(0), lost, repeat(10*ms, 3)},
		"constant negative":    {retry.Constant(-1), fails(io.EOF), repeat(10*ms, 3)},

		"never reconnect": {retry.Never(), lost, stop},
		"never healthy":   {retry.Never(), retry.Failure{Err: status(503), Uptime: time.Hour}, stop},
		"never network":   {retry.Never(), fails(io.EOF), stop},
		"never 503":       {retry.Never(), fails(later{503, sec}), stop},
		"never 429":       {retry.Never(), fails(status(429)), stop},
		"never 401":       {retry.Never(), fails(status(401)), stop},
		"never protocol":  {retry.Never(), fails(garbage{}), stop},
		"never token":     {retry.Never(), fails(gone{410}), stop},

		"EventSource reconnect":   {eventSource(), lost, repeat(3*sec, 5)},
		"EventSource network":     {eventSource(), fails(io.EOF), repeat(3*sec, 50)},
		"EventSource 503":         {eventSource(), fails(status(503)), stop},
		"EventSource Retry-After": {eventSource(), fails(later{503, sec}), stop},
		"EventSource 429":         {eventSource(), fails(status(429)), stop},
		"EventSource 401":         {eventSource(), fails(status(401)), stop},
		"EventSource 302":         {eventSource(), fails(status(302)), stop},
		"EventSource 204":         {eventSource(), fails(status(204)), stop},
		"EventSource 410":         {eventSource(), fails(gone{410}), stop},
		"EventSource protocol":    {eventSource(), fails(garbage{}), stop},

		"X reconnect":   {xPolicy(), lost, repeat(10*ms, 5)},
		"X network":     {xPolicy(), fails(io.EOF), doubled(250*ms, 16*sec, 12)},
		"X 503":         {xPolicy(), fails(status(503)), doubled(5*sec, 320*sec, 12)},
		"X 429":         {xPolicy(), fails(status(429)), doubled(minute, 16*minute, 12)},
		"X 420":         {xPolicy(), fails(status(420)), doubled(minute, 16*minute, 12)},
		"X 401":         {xPolicy(), fails(status(401)), []time.Duration{5 * sec, 10 * sec, 20 * sec, -1}},
		"X 403":         {xPolicy(), fails(fmt.Errorf("open: %w", status(403))), []time.Duration{5 * sec, 10 * sec, 20 * sec, -1}},
		"X 404":         {xPolicy(), fails(status(404)), stop},
		"X 406":         {xPolicy(), fails(status(406)), stop},
		"X 413":         {xPolicy(), fails(status(413)), stop},
		"X 416":         {xPolicy(), fails(status(416)), stop},
		"X Retry-After": {xPolicy(), fails(later{429, time.Hour}), repeat(16*minute, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.policy.Validate(); err != nil {
				t.Errorf("Validate: %v", err)
			}
			checkDelays(t, still(tt.policy), tt.failure, tt.want)
		})
	}
}

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		policy retry.Policy
		want   []string // the prefixes of the problems, in order
	}{
		"zero":          {},
		"constant":      {policy: retry.Constant(sec)},
		"off":           {policy: retry.Policy{Reconnect: -1, Jitter: -1, Healthy: -1, MaxAttempts: -1, MaxElapsed: -1, MaxServerDelay: -1}},
		"only Cap":      {policy: retry.Policy{Cap: 1}},
		"auth":          {policy: rule(retry.ClassAuth, retry.Rule{Base: sec, MaxAttempts: 3})},
		"auth no limit": {policy: rule(retry.ClassAuth, retry.Rule{Base: sec, MaxAttempts: -1})},
		"empty rule":    {policy: rule(retry.ClassAuth, retry.Rule{})},
		"auth alone":    {rule(retry.ClassAuth, retry.Rule{Base: sec}), []string{"Retry.Classes[auth].MaxAttempts: "}},
		"Base":          {retry.Policy{Base: -1}, []string{"Retry.Base: -1ns is negative"}},
		"Cap":           {retry.Policy{Cap: -1}, []string{"Retry.Cap: -1ns is negative"}},
		"Cap, Base":     {retry.Policy{Base: 2 * sec, Cap: sec}, []string{"Retry.Cap: 1s is less than Base, 2s"}},
		"Jitter NaN":    {retry.Policy{Jitter: math.NaN()}, []string{"Retry.Jitter: "}},
		"Jitter Inf":    {retry.Policy{Jitter: math.Inf(-1)}, []string{"Retry.Jitter: "}},
		"permanent":     {rule(retry.ClassPermanent, retry.Rule{MaxAttempts: 3}), []string{"Retry.Classes[permanent]: "}},
		"no class":      {rule(99, retry.Rule{}), []string{"Retry.Classes[Class(99)]: "}},
		"rule": {rule(retry.ClassTokenRejected, retry.Rule{Base: 2 * sec, Cap: sec}),
			[]string{"Retry.Classes[token rejected].Cap: 1s is less than Base, 2s"}},
		"all at once": {
			retry.Policy{
				Base: -1, Cap: -1, Jitter: math.NaN(),
				Classes: map[retry.Class]retry.Rule{
					retry.ClassServer:  {Cap: -1},
					retry.ClassAuth:    {Base: -1},
					retry.ClassNetwork: {Base: -1},
				},
			},
			[]string{
				"Retry.Base: ", "Retry.Cap: ", "Retry.Jitter: ", "Retry.Classes[network].Base: ",
				"Retry.Classes[server].Cap: ", "Retry.Classes[auth].MaxAttempts: ", "Retry.Classes[auth].Base: ",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.policy.Validate()
			if (err == nil) != (len(tt.want) == 0) {
				t.Fatalf("Validate() = %v, want %q", err, tt.want)
			}
			if err == nil {
				return
			}
			problems := err.(interface{ Unwrap() []error }).Unwrap()
			if len(problems) != len(tt.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(problems), len(tt.want), err)
			}
			for i, p := range problems {
				if !strings.HasPrefix(p.Error(), tt.want[i]) {
					t.Errorf("got problem %q, want %q", p, tt.want[i])
				}
			}
		})
	}
}

// A change of a policy after Start does not affect the Backoff.
func TestStartCopies(t *testing.T) {
	p := still(rule(retry.ClassNetwork, retry.Rule{Base: sec}))
	b := p.Start()
	p.Classes[retry.ClassNetwork] = retry.Rule{MaxAttempts: 1}
	p.Base = minute
	check(t, b, nothing, again(retry.ClassNetwork, sec, 1))
}

package retry_test

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/retry"
)

const (
	ms     = time.Millisecond
	sec    = time.Second
	minute = time.Minute
)

// schedules are the schedules of a policy, by the name of the field.
func schedules(p *retry.Policy) map[string]*retry.Schedule {
	return map[string]*retry.Schedule{
		"Reconnect": &p.Reconnect, "Network": &p.Network, "Server": &p.Server,
		"RateLimited": &p.RateLimited, "Auth": &p.Auth, "Protocol": &p.Protocol,
		"TokenRejected": &p.TokenRejected,
	}
}

// still is p without anything random.
func still(p retry.Policy) retry.Policy {
	for _, s := range schedules(&p) {
		s.Jitter = -1
	}
	return p
}

// delays returns the first n delays after the same failure again and again; it ends
// with -1 where the policy stops.
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

func TestPresets(t *testing.T) {
	var steps []time.Duration
	for i := 1; i <= 64; i++ {
		steps = append(steps, time.Duration(i)*250*ms)
	}
	steps = append(steps, 16*sec, 16*sec, 16*sec)
	stop := []time.Duration{-1}
	progress := retry.Failure{Err: io.EOF, Events: 1, Moved: true}
	fails := func(err error) retry.Failure { return retry.Failure{Err: err} }

	for name, tt := range map[string]struct {
		policy  retry.Policy
		failure retry.Failure
		want    []time.Duration
	}{
		"default reconnect": {retry.Default(), progress, repeat(sec, 5)},
		"default network":   {retry.Default(), fails(io.EOF), doubled(500*ms, 30*sec, 20)},
		"default cut":       {retry.Default(), fails(io.ErrUnexpectedEOF), doubled(500*ms, 30*sec, 20)},
		"default 503":       {retry.Default(), fails(status(503)), doubled(sec, minute, 20)},
		"default 429":       {retry.Default(), fails(status(429)), doubled(5*sec, 15*minute, 20)},
		"default 401":       {retry.Default(), fails(status(401)), stop},
		"default protocol":  {retry.Default(), fails(garbage{}), []time.Duration{sec, 2 * sec, 4 * sec, -1}},
		"default token":     {retry.Default(), fails(gone{410}), doubled(sec, 30*sec, 20)},
		"default permanent": {retry.Default(), fails(status(404)), stop},
		"default 204":       {retry.Default(), fails(status(204)), stop},
		"default HTML page": {retry.Default(), fails(finalGarbage{}), stop},

		"zero reconnect": {retry.Policy{}, progress, repeat(sec, 5)},
		"zero network":   {retry.Policy{}, fails(io.EOF), doubled(500*ms, 30*sec, 20)},
		"zero 503":       {retry.Policy{}, fails(status(503)), doubled(sec, minute, 20)},
		"zero 429":       {retry.Policy{}, fails(status(429)), doubled(5*sec, 15*minute, 20)},
		"zero 401":       {retry.Policy{}, fails(status(401)), stop},
		"zero protocol":  {retry.Policy{}, fails(garbage{}), []time.Duration{sec, 2 * sec, 4 * sec, -1}},
		"zero token":     {retry.Policy{}, fails(gone{410}), doubled(sec, 30*sec, 20)},

		"browser reconnect":   {retry.Browser(), progress, repeat(3*sec, 5)},
		"browser network":     {retry.Browser(), fails(io.EOF), repeat(3*sec, 50)},
		"browser 503":         {retry.Browser(), fails(status(503)), stop},
		"browser Retry-After": {retry.Browser(), fails(later{503, sec}), stop},
		"browser 429":         {retry.Browser(), fails(status(429)), stop},
		"browser 401":         {retry.Browser(), fails(status(401)), stop},
		"browser 302":         {retry.Browser(), fails(status(302)), stop},
		"browser 204":         {retry.Browser(), fails(status(204)), stop},
		"browser 410":         {retry.Browser(), fails(gone{410}), stop},
		"browser protocol":    {retry.Browser(), fails(garbage{}), stop},

		"X reconnect": {retry.X(), progress, repeat(10*ms, 5)},
		"X network":   {retry.X(), fails(io.EOF), steps},
		"X 503":       {retry.X(), fails(status(503)), doubled(5*sec, 320*sec, 12)},
		"X 429":       {retry.X(), fails(status(429)), doubled(minute, 16*minute, 12)},
		"X 420":       {retry.X(), fails(status(420)), doubled(minute, 16*minute, 12)},
		"X 401":       {retry.X(), fails(status(401)), []time.Duration{5 * sec, 10 * sec, 20 * sec, -1}},
		"X 403":       {retry.X(), fails(fmt.Errorf("open: %w", status(403))), []time.Duration{5 * sec, 10 * sec, 20 * sec, -1}},
		"X 404":       {retry.X(), fails(status(404)), stop},
		"X 406":       {retry.X(), fails(status(406)), stop},
		"X 413":       {retry.X(), fails(status(413)), stop},
		"X 416":       {retry.X(), fails(status(416)), stop},

		"kubernetes reconnect": {retry.Kubernetes(), progress, repeat(800*ms, 5)},
		"kubernetes network":   {retry.Kubernetes(), fails(io.EOF), doubled(800*ms, 30*sec, 12)},
		"kubernetes 500":       {retry.Kubernetes(), fails(status(500)), doubled(800*ms, 30*sec, 12)},
		"kubernetes 429":       {retry.Kubernetes(), fails(status(429)), doubled(800*ms, 30*sec, 12)},
		"kubernetes 410":       {retry.Kubernetes(), fails(gone{410}), doubled(800*ms, 30*sec, 12)},
		"kubernetes 401":       {retry.Kubernetes(), fails(status(401)), stop},

		"never reconnect": {retry.Never(), progress, stop},
		"never network":   {retry.Never(), fails(io.EOF), stop},
		"never 503":       {retry.Never(), fails(later{503, sec}), stop},
		"never 429":       {retry.Never(), fails(status(429)), stop},
		"never 401":       {retry.Never(), fails(status(401)), stop},
		"never protocol":  {retry.Never(), fails(garbage{}), stop},
		"never token":     {retry.Never(), fails(gone{410}), stop},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.policy.Validate(); err != nil {
				t.Errorf("Validate: %v", err)
			}
			got := delays(still(tt.policy), tt.failure, len(tt.want))
			if !slices.Equal(got, tt.want) {
				t.Errorf("delays %v\nwant   %v", got, tt.want)
			}
		})
	}
}

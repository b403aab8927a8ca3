package retry_test

import (
	"math"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/retry"
)

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		policy retry.Policy
		want   []string // what the problems begin with, in order
	}{
		"zero":       {},
		"default":    {policy: retry.Default()},
		"off":        {policy: retry.Policy{Healthy: -1, MaxAttempts: -1, MaxElapsed: -1, MaxRetryAfter: -1, MaxServerDelay: -1}},
		"one field":  {policy: retry.Policy{Network: retry.Schedule{Max: 1}}},
		"linear":     {policy: retry.Policy{Server: retry.Schedule{Step: sec, Max: minute}}},
		"no jitter":  {policy: retry.Policy{Server: retry.Schedule{Jitter: -1}}},
		"auth":       {policy: retry.Policy{Auth: retry.Schedule{Initial: sec, Attempts: 3}}},
		"auth alone": {retry.Policy{Auth: retry.Schedule{Initial: sec}}, []string{"Retry.Auth.Attempts: "}},
		"reconnect":  {retry.Policy{Reconnect: retry.Schedule{Attempts: 3}}, []string{"Retry.Reconnect.Attempts: "}},
		"Initial":    {retry.Policy{Reconnect: retry.Schedule{Initial: -1}}, []string{"Retry.Reconnect.Initial: "}},
		"Factor":     {retry.Policy{Network: retry.Schedule{Factor: 0.99}}, []string{"Retry.Network.Factor: "}},
		"Factor NaN": {retry.Policy{Network: retry.Schedule{Factor: math.NaN()}}, []string{"Retry.Network.Factor: "}},
		"Factor Inf": {retry.Policy{Network: retry.Schedule{Factor: math.Inf(1)}}, []string{"Retry.Network.Factor: "}},
		"Step":       {retry.Policy{Server: retry.Schedule{Step: -1}}, []string{"Retry.Server.Step: "}},
		"both":       {retry.Policy{RateLimited: retry.Schedule{Step: 1, Factor: 2}}, []string{"Retry.RateLimited.Step: "}},
		"Max":        {retry.Policy{Protocol: retry.Schedule{Max: -1}}, []string{"Retry.Protocol.Max: "}},
		"Max, Initial": {retry.Policy{TokenRejected: retry.Schedule{Initial: 2 * sec, Max: sec}},
			[]string{"Retry.TokenRejected.Max: 1s is less than Initial, 2s"}},
		"Jitter":     {retry.Policy{Auth: retry.Schedule{Attempts: 1, Jitter: math.NaN()}}, []string{"Retry.Auth.Jitter: "}},
		"Jitter Inf": {retry.Policy{Server: retry.Schedule{Jitter: math.Inf(-1)}}, []string{"Retry.Server.Jitter: "}},
		"all at once": {
			retry.Policy{
				Network: retry.Schedule{Initial: -1, Factor: -1, Step: -1, Max: -1, Jitter: math.NaN()},
				Server:  retry.Schedule{Max: -1},
				Auth:    retry.Schedule{Max: sec},
			},
			[]string{
				"Retry.Network.Initial: ", "Retry.Network.Factor: ", "Retry.Network.Step: ",
				"Retry.Network.Max: ", "Retry.Network.Jitter: ", "Retry.Server.Max: ", "Retry.Auth.Attempts: ",
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
				t.Fatalf("%d problems, want %d:\n%v", len(problems), len(tt.want), err)
			}
			for i, p := range problems {
				if !strings.HasPrefix(p.Error(), tt.want[i]) {
					t.Errorf("%q, want %q", p, tt.want[i])
				}
			}
		})
	}
}

// What is changed after Start does not reach a running subscription.
func TestStartCopies(t *testing.T) {
	p := still(retry.Default())
	b := p.Start()
	p.Network.Attempts = -1
	check(t, b, nothing, again(retry.ClassNetwork, 500*ms, 1))
}

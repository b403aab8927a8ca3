//go:build integration

package otelfeed_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Prometheus loads the rules, scrapes the example and evaluates every expression. Each panel of the
// dashboard shows something.
func TestPrometheusEvaluates(t *testing.T) {
	for _, tool := range []string{"prometheus", "promtool"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatal(err)
		}
	}
	rules, err := filepath.Abs("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", rules).CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	dir := t.TempDir()
	target := startExample(t, dir)
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\n"+
		"scrape_configs: [{job_name: example, static_configs: [{targets: [%q]}]}]\n", rules, target)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	launch(t, exec.Command("prometheus", "--config.file", filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", addr))

	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	await(t, ctx, "http://"+addr, `count_over_time(steadfeed_messages_nacked_total[1m]) > 4`)
	panels, rest := expressions(t)
	for _, e := range append(panels, rest...) {
		if strings.HasPrefix(e, "label_values(") { // a function of Grafana
			e = "steadfeed_subscription_state"
		}
		e = inPrometheus(e)
		if _, err := query(ctx, "http://"+addr, e); err != nil {
			t.Errorf("%s: %v", e, err)
		}
	}
	for _, e := range panels {
		await(t, ctx, "http://"+addr, inPrometheus(e))
	}
	await(t, ctx, "http://"+addr, `steadfeed_subscription_state{steadfeed_state="live",messaging_destination_name="orders"}`)
}

// inPrometheus returns an expression of Grafana with values for its variables.
func inPrometheus(e string) string {
	return strings.NewReplacer("$feed", ".*", "$__rate_interval", "1m").Replace(e)
}

// startExample builds and starts the example, and returns its address.
func startExample(t *testing.T, dir string) string {
	program := filepath.Join(dir, "example")
	if out, err := exec.Command("go", "build", "-o", program, "./example").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "-addr", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	launch(t, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(line, "http://")
	addr, _, _ := strings.Cut(rest, "/")
	return addr
}

func launch(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// query returns the number of series.
func query(ctx context.Context, base, expr string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", base+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("%s", answer.Error)
	}
	return len(answer.Data.Result), nil
}

func await(t *testing.T, ctx context.Context, base, expr string) {
	t.Helper()
	for {
		n, err := query(ctx, base, expr)
		if err == nil && n > 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %d series, %v", expr, n, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

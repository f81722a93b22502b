package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// through sends the orders through the pipe and returns the answers to those that ask for a decision.
func through(t *testing.T, orders ...string) []answer {
	t.Helper()
	var out strings.Builder
	if err := serve(strings.NewReader(strings.Join(orders, "\n")), &out); err != nil {
		t.Fatal(err)
	}
	var answers []answer
	decoder := json.NewDecoder(strings.NewReader(out.String()))
	for _, o := range orders {
		var a answer
		if err := decoder.Decode(&a); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(o, `"scale"`) {
			answers = append(answers, a)
		}
	}
	return answers
}

// decider is the test revision of upstream's autoscaler_test.go: utilization 0.75, window 60 s, rates 10.
func decider(target, burst float64, ready int, more string) string {
	return fmt.Sprintf(`{"new":{"target":%v,"total":%v,"maxScaleUpRate":10,"maxScaleDownRate":10,"panicThreshold":2,`+
		`"stableSeconds":60,"burstCapacity":%v,"ready":%d%s}}`, target, target/0.75, burst, ready, more)
}

func ask(at float64, ready int, stable, panicking float64) string {
	return fmt.Sprintf(`{"at":%v,"scale":%d,"stable":%v,"panic":%v}`, at, ready, stable, panicking)
}

func TestUpstreamVectors(t *testing.T) {
	for _, vector := range []struct {
		name   string
		orders []string
		want   []answer
	}{
		{"TestAutoscalerStableModeIncreaseWithConcurrencyDefault",
			[]string{decider(10, 101, 1, ""), ask(0, 1, 50, 10), ask(0, 1, 100, 10)},
			[]answer{{5, -98, true}, {10, -98, true}}},
		{"TestAutoscalerUnpanicAfterSlowIncrease",
			[]string{decider(1, 98, 1, ""), ask(0, 10, 11, 25), ask(30, 40, 30, 41), ask(62, 55, 50, 56)},
			[]answer{{25, -110, true}, {41, -86, true}, {50, -81, true}}},
		{"TestAutoscalerExtendPanicWindow",
			[]string{decider(1, 98, 1, ""), ask(0, 10, 11, 25), ask(30, 40, 30, 80)},
			[]answer{{25, -110, true}, {80, -125, true}}},
		{"TestAutoscalerStableModeDecrease",
			[]string{decider(10, 98, 1, ""), ask(0, 8, 100, 100), ask(0, 8, 50, 50)},
			[]answer{{10, -92, true}, {5, -42, true}}},
		{"TestAutoscalerStableModeNoTrafficScaleToZero",
			[]string{decider(10, 75, 1, ""), ask(0, 1, 1, 0), ask(0, 1, 0, 0)},
			[]answer{{1, -62, true}, {0, -62, true}}},
		{"TestAutoscalerActivationScale",
			[]string{decider(10, 75, 1, `,"activationScale":2`), ask(0, 1, 0, 0), ask(0, 1, 1, 0)},
			[]answer{{0, -62, true}, {2, -62, true}}},
		{"TestAutoscalerScaleDownDelay",
			[]string{`{"new":{"target":10,"maxScaleUpRate":10,"maxScaleDownRate":10,"panicThreshold":100,` +
				`"delaySeconds":300,"unreachable":true}}`,
				ask(2, 0, 40, 40), ask(300, 0, 0, 0), ask(302, 0, 0, 0)},
			[]answer{{4, 0, true}, {4, 0, true}, {0, 0, true}}},
	} {
		t.Run(vector.name, func(t *testing.T) {
			got := through(t, vector.orders...)
			for i, want := range vector.want {
				if got[i] != want {
					t.Errorf("answer %d: %+v, upstream expects %+v", i, got[i], want)
				}
			}
		})
	}
}

func TestWindowsAverageWhatWasRecorded(t *testing.T) {
	orders := []string{`{"new":{"target":10,"total":10,"maxScaleUpRate":1000,"maxScaleDownRate":2,"panicThreshold":2,` +
		`"stableSeconds":60,"panicSeconds":6,"ready":1}}`}
	orders = append(orders, `{"at":0,"scale":1}`)
	for second := 1; second <= 60; second++ {
		orders = append(orders, fmt.Sprintf(`{"at":%d,"record":15}`, second))
	}
	got := through(t, append(orders, `{"at":60,"scale":2}`)...)
	if got[0].Valid || !got[1].Valid || got[1].Desired != 2 {
		t.Errorf("no data: %+v; then 15 for 60 s over 10 a pod: %+v", got[0], got[1])
	}
}

func TestBadOrderIsNamed(t *testing.T) {
	for _, order := range []string{`{"at":1,"scale":1}`, `nonsense`} {
		if err := serve(strings.NewReader(order), &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "order") {
			t.Errorf("%s: %v", order, err)
		}
	}
}

// The pipe is a test because only in a test the clock can be virtual (testing/synctest): the controller reads the
// clock itself, for its windows and for the age of pods. Build it with `go test -c`, run it with -test.run TestPipe.
package hpa

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/klog/v2"
)

// order is one line of the pipe: `new`, or a sync at a time.
type order struct {
	New      *Target `json:"new"`
	At       float64 `json:"at"`
	Replicas int32   `json:"replicas"`
	Pods     []Pod   `json:"pods"`
	Total    int64   `json:"total"`
}

type answer struct {
	Desired int32  `json:"desired"`
	Error   string `json:"error,omitempty"`
}

// serve answers orders until `in` ends; it must run in a bubble, whose clock it moves.
func serve(in io.Reader, out io.Writer) error {
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	lines.Buffer(nil, 1<<24)
	began := time.Now()
	var c *Controller
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("order %q: %w", lines.Text(), err)
		}
		var a answer
		var err error
		switch {
		case o.New != nil:
			c, err = New(*o.New)
		case c == nil:
			return fmt.Errorf("order %q: the first order must be `new`", lines.Text())
		default:
			time.Sleep(time.Until(began.Add(time.Duration(o.At * float64(time.Second)))))
			a.Desired, err = c.Sync(context.Background(), o.Replicas, o.Pods, o.Total)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

func TestMain(m *testing.M) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	os.Exit(m.Run())
}

func TestPipe(t *testing.T) {
	if os.Getenv("MPM_BENCH_PIPE") == "" {
		t.Skip("serves a simulation: set MPM_BENCH_PIPE and write orders to the standard input")
	}
	synctest.Test(t, func(t *testing.T) {
		code := 0
		if err := serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code) // the controller's broadcaster has no end of its own
	})
}

// pods is one pod for each value, ready and old.
func pods(values ...int64) []Pod {
	made := make([]Pod, len(values))
	for i, value := range values {
		made[i] = Pod{Name: fmt.Sprintf("pod-%d", i), Ready: true, Value: &value, Started: 3600, Since: 3600}
	}
	return made
}

// unready makes the first pods young and not ready, as upstream's podReadiness does.
func unready(count int, all []Pod) []Pod {
	for i := range all[:count] {
		all[i].Ready, all[i].Started, all[i].Since = false, 30, 30
	}
	return all
}

// through sends orders through the pipe of a process of its own and returns the answers.
func through(t *testing.T, orders ...order) []answer {
	t.Helper()
	var in strings.Builder
	for _, o := range orders {
		if err := json.NewEncoder(&in).Encode(o); err != nil {
			t.Fatal(err)
		}
	}
	pipe := exec.Command(os.Args[0], "-test.run=^TestPipe$")
	pipe.Env = append(os.Environ(), "MPM_BENCH_PIPE=1")
	pipe.Stdin, pipe.Stderr = strings.NewReader(in.String()), os.Stderr
	out, err := pipe.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := make([]answer, len(orders))
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for i := range answers {
		if err := decoder.Decode(&answers[i]); err != nil {
			t.Fatal(err)
		}
		if answers[i].Error != "" {
			t.Fatalf("order %d: %s", i, answers[i].Error)
		}
	}
	return answers
}

// vectors are upstream's, of replica_calculator_test.go. There the calculator is asked alone; here the whole
// controller is, so what shrinks is asked again when the stabilization window of 300 s has passed.
var vectors = []struct {
	name   string
	target Target
	sync   order
	want   int32
}{
	{"TestReplicaCalcScaleUpCM", Target{Kind: "Pods", Value: 15000}, order{Replicas: 3, Pods: pods(20000, 10000, 30000)}, 4},
	{"TestReplicaCalcScaleDownCM", Target{Kind: "Pods", Value: 20000}, order{Replicas: 5, Pods: pods(12000, 12000, 12000, 12000, 12000)}, 3},
	{"TestReplicaCalcToleranceCM", Target{Kind: "Pods", Value: 20000}, order{Replicas: 3, Pods: pods(20000, 21000, 21000)}, 3},
	{"TestReplicaCalcScaleUp", Target{Kind: "Resource", Value: 30}, order{Replicas: 3, Pods: pods(300, 500, 700)}, 5},
	{"TestReplicaCalcScaleUpUnreadyLessScale", Target{Kind: "Resource", Value: 30}, order{Replicas: 3, Pods: unready(1, pods(300, 500, 700))}, 4},
	{"TestReplicaCalcScaleUpPerPodCMExternal", Target{Kind: "External", Value: 2150}, order{Replicas: 3, Pods: pods(0, 0, 0), Total: 8600}, 4},
	{"TestReplicaCalcScaleDownPerPodCMExternal", Target{Kind: "External", Value: 2867}, order{Replicas: 5, Pods: pods(0, 0, 0, 0, 0), Total: 8600}, 3},
}

func TestUpstreamVectors(t *testing.T) {
	for _, vector := range vectors {
		t.Run(vector.name, func(t *testing.T) {
			vector.target.Min, vector.target.Max = 1, 100
			later := vector.sync
			later.At = (downscaleStabilization + time.Second).Seconds()
			got := through(t, order{New: &vector.target}, vector.sync, later)
			if first := max(vector.want, vector.sync.Replicas); got[1].Desired != first {
				t.Errorf("at once: %d, expected %d", got[1].Desired, first)
			}
			if got[2].Desired != vector.want {
				t.Errorf("after the window: %d, upstream expects %d", got[2].Desired, vector.want)
			}
		})
	}
}

func TestGrowthIsLimitedToFourPodsOrTwice(t *testing.T) {
	target := Target{Kind: "External", Value: 1000, Min: 1, Max: 100}
	got := through(t, order{New: &target},
		order{Replicas: 1, Pods: pods(0), Total: 50000}, order{At: 15, Replicas: 10, Pods: pods(0), Total: 50000})
	if got[1].Desired != 4 || got[2].Desired != 20 {
		t.Errorf("from 1: %d, expected 4; from 10: %d, expected 20", got[1].Desired, got[2].Desired)
	}
}

// Knative's own autoscaler behind a pipe: one JSON order a line in, one JSON answer a line out.
//
// Orders carry the time, so an hour of virtual time takes seconds. What decides is knative.dev/serving as it is
// published: scaling.New, and the windows of its metric collector (buckets of one second, plain averages).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/serving/pkg/autoscaler/aggregation"
	"knative.dev/serving/pkg/autoscaler/metrics"
	"knative.dev/serving/pkg/autoscaler/scaling"
)

// order is one line of the pipe. Exactly one of New, Record and Scale is meant.
type order struct {
	// New makes a fresh autoscaler.
	New *revision `json:"new"`
	// At is the time in seconds.
	At float64 `json:"at"`
	// Record is the concurrency of all pods together in the last second.
	Record *float64 `json:"record"`
	// Scale asks for a decision with this many ready pods.
	Scale *int `json:"scale"`
	// Stable and Panic stand in for the windows: upstream's test vectors give them.
	Stable *float64 `json:"stable"`
	Panic  *float64 `json:"panic"`
}

// revision holds what config-autoscaler and the revision's annotations come to.
type revision struct {
	Target           float64 `json:"target"`
	Total            float64 `json:"total"`
	MaxScaleUpRate   float64 `json:"maxScaleUpRate"`
	MaxScaleDownRate float64 `json:"maxScaleDownRate"`
	PanicThreshold   float64 `json:"panicThreshold"`
	StableSeconds    float64 `json:"stableSeconds"`
	PanicSeconds     float64 `json:"panicSeconds"`
	BurstCapacity    float64 `json:"burstCapacity"`
	DelaySeconds     float64 `json:"delaySeconds"`
	ActivationScale  int32   `json:"activationScale"`
	Unreachable      bool    `json:"unreachable"`
	Ready            int     `json:"ready"`
}

type answer struct {
	Desired int32 `json:"desired"`
	Excess  int32 `json:"excess"`
	Valid   bool  `json:"valid"`
}

// windows is the part of Knative's metric collector behind the scraping: its buckets and their averages.
type windows struct {
	stable, panicking *aggregation.TimedFloat64Buckets
	given             *[2]float64
}

func (w *windows) StableAndPanicConcurrency(_ types.NamespacedName, now time.Time) (float64, float64, error) {
	if w.given != nil {
		return w.given[0], w.given[1], nil
	}
	if w.stable.IsEmpty(now) {
		return 0, 0, metrics.ErrNoData
	}
	return w.stable.WindowAverage(now), w.panicking.WindowAverage(now), nil
}

func (w *windows) StableAndPanicRPS(types.NamespacedName, time.Time) (float64, float64, error) {
	return 0, 0, metrics.ErrNoData
}

// counter is the number of ready pods, as the endpoints say.
type counter struct{ ready int }

func (c *counter) ReadyCount() (int, error)    { return c.ready, nil }
func (c *counter) NotReadyCount() (int, error) { return 0, nil }

type peer struct {
	scaler  scaling.UniScaler
	windows *windows
	pods    *counter
	logger  *zap.SugaredLogger
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// moment maps virtual seconds to a time well after the zero time, which means "never" to the autoscaler.
func moment(at float64) time.Time { return time.Unix(1_700_000_000, 0).Add(seconds(at)) }

func newPeer(r *revision) *peer {
	w := &windows{}
	if r.StableSeconds > 0 && r.PanicSeconds > 0 {
		w.stable = aggregation.NewTimedFloat64Buckets(seconds(r.StableSeconds), time.Second)
		w.panicking = aggregation.NewTimedFloat64Buckets(seconds(r.PanicSeconds), time.Second)
	}
	pods := &counter{ready: r.Ready}
	scaler := scaling.New(context.Background(), "bench", "bench", w, pods, &scaling.DeciderSpec{
		MaxScaleUpRate:      r.MaxScaleUpRate,
		MaxScaleDownRate:    r.MaxScaleDownRate,
		ScalingMetric:       "concurrency",
		TargetValue:         r.Target,
		TotalValue:          r.Total,
		TargetBurstCapacity: r.BurstCapacity,
		PanicThreshold:      r.PanicThreshold,
		StableWindow:        seconds(r.StableSeconds),
		ScaleDownDelay:      seconds(r.DelaySeconds),
		ActivationScale:     r.ActivationScale,
		Reachable:           !r.Unreachable,
	})
	return &peer{scaler: scaler, windows: w, pods: pods, logger: zap.NewNop().Sugar()}
}

func (p *peer) obey(o *order) answer {
	now := moment(o.At)
	if o.Record != nil {
		p.windows.stable.Record(now, *o.Record)
		p.windows.panicking.Record(now, *o.Record)
		return answer{}
	}
	if o.Stable != nil && o.Panic != nil {
		p.windows.given = &[2]float64{*o.Stable, *o.Panic}
	}
	if o.Scale != nil {
		p.pods.ready = *o.Scale
	}
	result := p.scaler.Scale(p.logger, now)
	return answer{Desired: result.DesiredPodCount, Excess: result.ExcessBurstCapacity, Valid: result.ScaleValid}
}

func serve(in io.Reader, out io.Writer) error {
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	var p *peer
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("order %q: %w", lines.Text(), err)
		}
		var a answer
		switch {
		case o.New != nil:
			p = newPeer(o.New)
		case p == nil:
			return fmt.Errorf("order %q: the first order must be `new`", lines.Text())
		default:
			a = p.obey(&o)
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

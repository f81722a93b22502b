// Package hpa drives Kubernetes' own HorizontalPodAutoscaler controller by the clock of a simulation.
package hpa

import (
	"context"
	"fmt"
	"time"
	_ "unsafe" // for the linkname below

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

const (
	namespace = "bench"
	name      = "bench"
	key       = namespace + "/" + name
)

// reconcile is one sync of one HPA: what a worker of the controller does with a key from its queue. It is not
// exported; the queue in front of it needs watches and would only add its own timing.
//
//go:linkname reconcile k8s.io/kubernetes/pkg/controller/podautoscaler.(*HorizontalController).reconcileAutoscaler
func reconcile(c *podautoscaler.HorizontalController, ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler, key string) error

// Pod is a pod as the controller sees it.
type Pod struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	// Value of the metric in thousandths; none for a pod that was not scraped yet.
	Value *int64 `json:"value"`
	// Started is the age of the pod in seconds.
	Started float64 `json:"started"`
	// Since is how long the Ready condition has been what it is, in seconds.
	Since float64 `json:"since"`
}

// Target is what the HPA is told to hold.
type Target struct {
	// Kind is `Pods` (a mean over the pods), `External` (a total, as KEDA asks for) or `Resource` (CPU in percent of 1 CPU).
	Kind string `json:"kind"`
	// Value in thousandths; for Resource in percent.
	Value int64 `json:"value"`
	Min   int32 `json:"min"`
	Max   int32 `json:"max"`
}

// Controller is the real controller over a target that exists only here.
type Controller struct {
	controller *podautoscaler.HorizontalController
	hpa        *autoscalingv2.HorizontalPodAutoscaler
	pods       cache.Indexer
	observed   []Pod
	total      int64
	replicas   int32
}

// The defaults of kube-controller-manager's --horizontal-pod-autoscaler-... flags.
const (
	syncPeriod              = 15 * time.Second
	downscaleStabilization  = 5 * time.Minute
	tolerance               = 0.1
	cpuInitializationPeriod = 5 * time.Minute
	initialReadinessDelay   = 30 * time.Second
)

// New returns a controller for one HPA with the defaults of kube-controller-manager.
func New(target Target) (*Controller, error) {
	c := &Controller{}
	metric, err := spec(target)
	if err != nil {
		return nil, err
	}
	c.hpa = &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: name, APIVersion: "apps/v1"},
			MinReplicas:    &target.Min,
			MaxReplicas:    target.Max,
			Metrics:        []autoscalingv2.MetricSpec{metric},
		},
	}
	client := fake.NewClientset(c.hpa)
	client.PrependReactor("update", "horizontalpodautoscalers", func(action clienttesting.Action) (bool, runtime.Object, error) {
		c.hpa = action.(clienttesting.UpdateAction).GetObject().(*autoscalingv2.HorizontalPodAutoscaler)
		return true, c.hpa, nil
	})
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	c.pods = pods.Informer().GetIndexer()
	c.controller = podautoscaler.NewHorizontalController(
		context.Background(), client.CoreV1(), c.scales(), client.AutoscalingV2(),
		testrestmapper.TestOnlyStaticRESTMapper(scheme.Scheme, appsv1.SchemeGroupVersion), c,
		factory.Autoscaling().V2().HorizontalPodAutoscalers(), pods,
		syncPeriod, downscaleStabilization, tolerance, cpuInitializationPeriod, initialReadinessDelay,
	)
	return c, nil
}

// Sync is one pass of the controller over `pods` at the present time; it returns the replicas it leaves behind.
func (c *Controller) Sync(ctx context.Context, replicas int32, pods []Pod, total int64) (int32, error) {
	c.replicas, c.observed, c.total = replicas, pods, total
	objects := make([]any, len(pods))
	for i, pod := range pods {
		objects[i] = object(pod)
	}
	if err := c.pods.Replace(objects, ""); err != nil {
		return 0, err
	}
	err := reconcile(c.controller, ctx, c.hpa, key)
	return c.replicas, err
}

func spec(target Target) (autoscalingv2.MetricSpec, error) {
	average := autoscalingv2.MetricTarget{
		Type:         autoscalingv2.AverageValueMetricType,
		AverageValue: resource.NewMilliQuantity(target.Value, resource.DecimalSI),
	}
	busy := autoscalingv2.MetricIdentifier{Name: "busy"}
	switch target.Kind {
	case "Pods":
		return autoscalingv2.MetricSpec{
			Type: autoscalingv2.PodsMetricSourceType,
			Pods: &autoscalingv2.PodsMetricSource{Metric: busy, Target: average},
		}, nil
	case "External":
		return autoscalingv2.MetricSpec{
			Type:     autoscalingv2.ExternalMetricSourceType,
			External: &autoscalingv2.ExternalMetricSource{Metric: busy, Target: average},
		}, nil
	case "Resource":
		percent := int32(target.Value)
		return autoscalingv2.MetricSpec{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{
				Name:   corev1.ResourceCPU,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent},
			},
		}, nil
	}
	return autoscalingv2.MetricSpec{}, fmt.Errorf("target kind %q: expected Pods, External or Resource", target.Kind)
}

func object(pod Pod) *corev1.Pod {
	now := time.Now()
	started := metav1.NewTime(now.Add(-time.Duration(pod.Started * float64(time.Second))))
	ready := corev1.ConditionFalse
	if pod.Ready {
		ready = corev1.ConditionTrue
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: namespace, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "worker",
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(1000, resource.DecimalSI)},
			},
		}}},
		Status: corev1.PodStatus{
			Phase:     corev1.PodRunning,
			StartTime: &started,
			Conditions: []corev1.PodCondition{{
				Type:               corev1.PodReady,
				Status:             ready,
				LastTransitionTime: metav1.NewTime(now.Add(-time.Duration(pod.Since * float64(time.Second)))),
			}},
		},
	}
}

// scales is the scale subresource of the Deployment.
func (c *Controller) scales() *scalefake.FakeScaleClient {
	client := &scalefake.FakeScaleClient{}
	client.AddReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
			Spec:       autoscalingv1.ScaleSpec{Replicas: c.replicas},
			Status:     autoscalingv1.ScaleStatus{Replicas: c.replicas, Selector: "app=" + name},
		}, nil
	})
	client.AddReactor("update", "deployments", func(action clienttesting.Action) (bool, runtime.Object, error) {
		scale := action.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
		c.replicas = scale.Spec.Replicas
		return true, scale, nil
	})
	return client
}

// The controller's metrics client: what was observed last.

func (c *Controller) values() metrics.PodMetricsInfo {
	values := metrics.PodMetricsInfo{}
	for _, pod := range c.observed {
		if pod.Value != nil {
			values[pod.Name] = metrics.PodMetric{Timestamp: time.Now(), Window: syncPeriod, Value: *pod.Value}
		}
	}
	return values
}

// GetResourceMetric returns the CPU of each pod in thousandths.
func (c *Controller) GetResourceMetric(context.Context, corev1.ResourceName, string, labels.Selector, string) (metrics.PodMetricsInfo, time.Time, error) {
	return c.values(), time.Now(), nil
}

// GetRawMetric returns the busy slots of each pod in thousandths.
func (c *Controller) GetRawMetric(string, string, labels.Selector, labels.Selector) (metrics.PodMetricsInfo, time.Time, error) {
	return c.values(), time.Now(), nil
}

// GetObjectMetric is not asked for by any target here.
func (c *Controller) GetObjectMetric(metric string, _ string, _ *autoscalingv2.CrossVersionObjectReference, _ labels.Selector) (int64, time.Time, error) {
	return 0, time.Time{}, fmt.Errorf("metric %s: no object has it", metric)
}

// GetExternalMetric returns the total in thousandths.
func (c *Controller) GetExternalMetric(string, string, labels.Selector) ([]int64, time.Time, error) {
	return []int64{c.total}, time.Now(), nil
}

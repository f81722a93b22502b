"""What surrounds the policy: requests, pods, balancer, network. All times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Distribution(StrEnum):
    """How long requests hold a slot, around the mean."""

    EXPONENTIAL = "exponential"
    LOGNORMAL = "lognormal"
    """With a coefficient of variation of 2: most are short, a few very long."""


class Balancer(StrEnum):
    """Who gets the next connection."""

    RANDOM = "random"
    """Any ready pod, as kube-proxy does: every pod has its own queue."""
    LEAST_BUSY = "least-busy"
    """The ready pod with the fewest requests in it, as many ingress proxies can."""


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch in which every request takes `factor` times as long: a slow backend."""

    start: float
    end: float
    factor: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One setting of the model; with a trace, directives and a policy it determines the run."""

    service_s: float = 0.1
    """Mean time a request holds a slot."""
    distribution: Distribution = Distribution.EXPONENTIAL
    startup_s: float = 8.0
    """From the creation of a pod until it is ready."""
    balancer: Balancer = Balancer.RANDOM
    slo_s: float = 0.25
    """Longest wait for a slot that violates nothing."""
    seed: int = 1
    warm_up_s: int = 240
    """How long the first rate of the trace is held before the trace begins: the measured time starts with a
    deployment that fits. 0 shows the start from StartServers as well."""
    clients: int = 0
    """Clients that keep their connection; each request belongs to any of them. 0 = a connection a request."""
    stat_loss: float = 0.0
    """Share of scoreboard lines that never arrive."""
    cpu_s: float = 0.0
    """CPU time of a request; above the pod's quota requests take longer. 0 = only waiting, no contention."""
    cpu_quota: float = 1.0
    """CPUs of a pod; a server uses one at most."""
    episodes: tuple[Episode, ...] = ()
    endpoint_lag_s: float = 1.0
    """From a pod that leaves or joins readiness until the balancer knows."""
    ending_s: float = 0.0
    """From the end of a pod's processes until its object is gone, which is as long as it is paid for."""
    dealing: int | None = None
    """Seed of the balancer's choices: another luck with the very same requests. None = `seed`."""

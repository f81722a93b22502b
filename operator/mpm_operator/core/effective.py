"""The directives that take effect, and what was corrected on the way to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from .spec import MPM


class Band(Struct, frozen=True):
    """Least and most idle slots over the whole WebServer."""

    min_spare: int
    max_spare: int


class Effective(Struct, frozen=True):
    """The directives after every check and correction; shown in `status.effective`."""

    mpm: MPM
    start_servers: int
    threads_per_child: int
    boot_threads: int
    """ThreadsPerChild that a new pod starts with; control gives it the tuned value once it answers."""
    threads_tuned: bool
    """ThreadsPerChild was left out: the planner tunes it."""
    thread_limit: int
    band: Band | None
    """MinSpare and MaxSpare in slots; None = computed from the load."""
    max_request_workers: int
    """Rounded down to whole pods, at least one."""
    server_limit: int
    """In servers, draining and rolling ones included."""
    servers_hard: int
    """Greatest ServerLimit that is computed; 0 = it was given, and stays when ThreadsPerChild is tuned."""
    processes_per_pod: int
    max_connections_per_child: int
    max_rss_bytes: int
    """0 = never; -1 = what the memory limit leaves."""
    request_timeout_seconds: int
    async_request_worker_factor: int
    listen_backlog: int
    graceful_shutdown_timeout_seconds: int
    timeout_seconds: int
    keep_alive: bool
    keep_alive_timeout_seconds: int
    max_keep_alive_requests: int
    limit_request_body_bytes: int
    min_replicas: int
    scale_down_stabilization_seconds: int
    wait_probability_percent: int
    drain_delay_seconds: int

    @property
    def slots_per_pod(self) -> int:
        """Slots of a pod without burst: processesPerPod × threadsPerChild."""
        return self.processes_per_pod * self.threads_per_child

    @property
    def boot_slots(self) -> int:
        """Most slots of a pod that starts, before control reaches it."""
        return self.processes_per_pod * max(self.threads_per_child, self.boot_threads)

    @property
    def max_pods(self) -> int:
        """Most pods that MaxRequestWorkers allows, surge excluded; the last must have room to start."""
        slots = self.slots_per_pod
        return max(1, (self.max_request_workers - self.boot_slots + slots) // slots)

    def with_threads(self, threads: int, limit: int) -> Effective:
        """Return the directives with ThreadsPerChild tuned to `threads`, and bursts within `limit`."""
        if (threads, limit) == (self.threads_per_child, self.thread_limit):
            return self
        servers = self.server_limit
        if self.servers_hard and threads != self.threads_per_child:
            most = roomy(self.max_request_workers // threads, self.processes_per_pod)
            servers = min(max(servers, most), self.servers_hard)
        return replace(self, threads_per_child=threads, thread_limit=limit, server_limit=servers)

    @property
    def start_pods(self) -> int:
        """Pods at first creation: StartServers in whole pods."""
        return -(-self.start_servers // self.processes_per_pod)

    @property
    def settings(self) -> dict[str, int | float | bool]:
        """What control can change, under the names of a scoreboard's `settings` (docs/contracts.md)."""
        return {
            "threadsPerChild": self.threads_per_child,
            "processes": self.processes_per_pod,
            "timeoutSeconds": self.timeout_seconds,
            "keepAlive": self.keep_alive,
            "keepAliveTimeoutSeconds": self.keep_alive_timeout_seconds,
            "maxKeepAliveRequests": self.max_keep_alive_requests,
            "limitRequestBodyBytes": self.limit_request_body_bytes,
            "maxConnectionsPerChild": self.max_connections_per_child,
            "maxRssBytes": self.max_rss_bytes,
            "requestTimeoutSeconds": self.request_timeout_seconds,
            "gracefulShutdownTimeoutSeconds": self.graceful_shutdown_timeout_seconds,
            "asyncRequestWorkerFactor": self.async_request_worker_factor,
        }


def roomy(servers: int, processes_per_pod: int) -> int:
    """Return the ServerLimit that leaves room to replace `servers`: a pod more, or a quarter."""
    return servers + max(processes_per_pod, -(-servers // 4))


class Correction(Struct, frozen=True):
    """One value that was not used as given: what it was, what it became, and httpd's reason."""

    field: str
    """Path in the spec, e.g. `spec.mpm.threadsPerChild`."""
    message: str

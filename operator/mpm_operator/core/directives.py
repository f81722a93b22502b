"""httpd's startup checks and corrections, in httpd's order: from what was asked for to what takes effect.

Source: Apache httpd 2.4 server/mpm/{event,worker,prefork} check_config; the order is part of the behaviour,
because each correction sees the values the earlier ones left. httpd's refusal to change ServerLimit and
ThreadLimit at a restart is not made: here such a change rolls the pods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .compiled import COMPILED, DEFAULT_THREAD_LIMIT, DEFAULT_THREADS_PER_CHILD
from .effective import Band, Correction, Effective, roomy

if TYPE_CHECKING:
    from .compiled import Compiled
    from .spec import MPMDirectives, WebServerSpec

__all__ = ["Band", "Correction", "Effective", "normalise"]


LONGEST_GRACE_SECONDS = 3600
"""What GracefulShutdownTimeout 0 (httpd: without end) becomes: Kubernetes needs a finite grace period."""


def normalise(spec: WebServerSpec) -> tuple[Effective, tuple[Correction, ...]]:
    """Return what takes effect of `spec`, and what was corrected on the way, in the order of httpd's checks.

    Nothing is rejected: like httpd, a value that cannot hold is replaced by the nearest that can. Rules that
    httpd does not have (whole pods, what was left out) follow the check they belong to.
    """
    mpm = spec.mpm
    compiled = COMPILED[mpm.type.value]
    found: list[Correction] = []
    _other_mpms_directives(mpm, found)
    limit_given = _server_limit(mpm, compiled, found)
    threads, thread_limit = _threads(mpm, compiled, found)
    processes, threads = _pod_size(mpm, compiled, limit_given, threads, found)
    workers, server_limit = _workers(mpm, compiled, limit_given, processes, threads, found)
    max_pods = workers // (processes * threads)
    start = _start_servers(mpm, compiled, max_pods * processes, found)
    band = _band(mpm, compiled, processes * threads, found)
    return Effective(
        mpm=mpm.type,
        start_servers=start,
        threads_per_child=threads,
        boot_threads=threads,
        threads_tuned=mpm.threads_per_child is None and mpm.type.value != "Prefork",
        thread_limit=max(thread_limit, threads),
        band=band,
        max_request_workers=workers,
        server_limit=server_limit,
        servers_hard=compiled.servers_hard if limit_given is None else 0,
        processes_per_pod=processes,
        max_connections_per_child=mpm.max_connections_per_child,
        max_rss_bytes=-1 if mpm.max_rss_bytes is None else mpm.max_rss_bytes,
        request_timeout_seconds=mpm.request_timeout_seconds,
        async_request_worker_factor=mpm.async_request_worker_factor,
        listen_backlog=mpm.listen_backlog,
        graceful_shutdown_timeout_seconds=_grace(mpm, found),
        timeout_seconds=spec.http.timeout_seconds,
        keep_alive=spec.http.keep_alive,
        keep_alive_timeout_seconds=spec.http.keep_alive_timeout_seconds,
        max_keep_alive_requests=spec.http.max_keep_alive_requests,
        limit_request_body_bytes=spec.http.limit_request_body_bytes,
        min_replicas=_min_replicas(spec, max_pods, found),
        scale_down_stabilization_seconds=spec.scaling.scale_down_stabilization_seconds,
        wait_probability_percent=spec.scaling.wait_probability_percent,
        drain_delay_seconds=spec.scaling.drain_delay_seconds,
    ), tuple(found)


def _say(found: list[Correction], field: str, number: str, message: str) -> None:
    found.append(Correction(f"spec.{field}", f"{number}: {message}" if number else message))


def _other_mpms_directives(mpm: MPMDirectives, found: list[Correction]) -> None:
    """Name the directives that the chosen MPM does not have; httpd refuses or ignores them."""
    strangers = (
        {
            "threadsPerChild": (mpm.threads_per_child, "Prefork has one thread a server"),
            "threadLimit": (mpm.thread_limit, "Prefork has one thread a server"),
            "minSpareThreads": (mpm.min_spare_threads, "Prefork counts servers: use minSpareServers"),
            "maxSpareThreads": (mpm.max_spare_threads, "Prefork counts servers: use maxSpareServers"),
        }
        if mpm.type.value == "Prefork"
        else {
            "minSpareServers": (mpm.min_spare_servers, "it is Prefork's: use minSpareThreads"),
            "maxSpareServers": (mpm.max_spare_servers, "it is Prefork's: use maxSpareThreads"),
        }
    )
    for name, (value, why) in strangers.items():
        if value is not None and not (name in ("threadsPerChild", "threadLimit") and value == 1):
            directive = name[0].upper() + name[1:]
            _say(found, f"mpm.{name}", "", f"{directive} of {value} is not used: {why}.")


def _server_limit(mpm: MPMDirectives, compiled: Compiled, found: list[Correction]) -> int | None:
    given = mpm.server_limit
    if given is not None and given > compiled.servers_hard:
        _say(
            found,
            "mpm.serverLimit",
            compiled.server_limit_high,
            f"ServerLimit of {given} exceeds the compiled-in limit of {compiled.servers_hard} servers, "
            f"decreased to {compiled.servers_hard}.",
        )
        return compiled.servers_hard
    if given is not None and given < 1:
        _say(
            found,
            "mpm.serverLimit",
            compiled.server_limit_low,
            f"ServerLimit of {given} means nothing, increased to 1.",
        )
        return 1
    return given


def _threads(mpm: MPMDirectives, compiled: Compiled, found: list[Correction]) -> tuple[int, int]:
    """Return ThreadsPerChild and ThreadLimit."""
    if compiled.threads_hard == 1:
        return 1, 1
    limit, threads = mpm.thread_limit, mpm.threads_per_child
    if limit is None:
        limit = min(compiled.threads_hard, max(DEFAULT_THREAD_LIMIT, threads or 0))
    elif limit > compiled.threads_hard:
        _say(
            found,
            "mpm.threadLimit",
            compiled.thread_limit_high,
            f"ThreadLimit of {limit} exceeds the compiled-in limit of {compiled.threads_hard} threads, "
            f"decreased to {compiled.threads_hard}.",
        )
        limit = compiled.threads_hard
    elif limit < 1:
        _say(
            found,
            "mpm.threadLimit",
            compiled.thread_limit_low,
            f"ThreadLimit of {limit} means nothing, increased to 1.",
        )
        limit = 1
    if threads is None:
        return min(DEFAULT_THREADS_PER_CHILD, limit), limit
    if threads > limit:
        _say(
            found,
            "mpm.threadsPerChild",
            compiled.threads_high,
            f"ThreadsPerChild of {threads} exceeds ThreadLimit of {limit} threads, decreased to {limit}; "
            "to have more, raise threadLimit.",
        )
        threads = limit
    elif threads < 1:
        _say(
            found,
            "mpm.threadsPerChild",
            compiled.threads_low,
            f"ThreadsPerChild of {threads} means nothing, increased to 1.",
        )
        threads = 1
    return threads, limit


def _pod_size(
    mpm: MPMDirectives, compiled: Compiled, server_limit: int | None, threads: int, found: list[Correction]
) -> tuple[int, int]:
    """Return processesPerPod and ThreadsPerChild so that one pod fits into what was given.

    Where httpd would raise MaxRequestWorkers over what somebody chose (to protect a database, perhaps), a pod
    size that nobody chose is made smaller instead.
    """
    processes = mpm.processes_per_pod or compiled.processes_per_pod
    if server_limit is not None and processes > server_limit:
        if mpm.processes_per_pod is not None:
            _say(
                found,
                "mpm.processesPerPod",
                "",
                f"processesPerPod of {processes} exceeds ServerLimit of {server_limit}, "
                f"decreased to {server_limit}.",
            )
        processes = server_limit
    workers = mpm.max_request_workers
    if workers is not None and 0 < workers < processes * threads:
        if mpm.processes_per_pod is None:
            processes = max(1, workers // threads)
        if mpm.threads_per_child is None:
            threads = max(1, workers // processes)
    return processes, threads


def _workers(
    mpm: MPMDirectives,
    compiled: Compiled,
    limit_given: int | None,
    processes: int,
    threads: int,
    found: list[Correction],
) -> tuple[int, int]:
    """Return MaxRequestWorkers in whole pods, and ServerLimit."""
    workers = compiled.max_request_workers if mpm.max_request_workers is None else mpm.max_request_workers
    pod = processes * threads
    unit = f"ThreadsPerChild of {threads}" if processes == 1 else f"one pod of {processes} x {threads} slots"
    if workers < pod:
        _say(
            found,
            "mpm.maxRequestWorkers",
            compiled.workers_low,
            f"MaxRequestWorkers of {workers} is less than {unit}, increased to {pod}; "
            "it must hold at least the slots of one pod.",
        )
        workers = pod
    if workers % pod:
        whole = workers - workers % pod
        _say(
            found,
            "mpm.maxRequestWorkers",
            compiled.workers_uneven,
            f"MaxRequestWorkers of {workers} is not an integer multiple of {unit}, decreased to {whole}, "
            f"for at most {whole // threads} servers.",
        )
        workers = whole
    servers = workers // threads
    most = roomy(servers, processes)
    if limit_given is None and most <= compiled.servers_hard:
        return workers, most
    limit = compiled.servers_hard if limit_given is None else limit_given
    return _workers_within(workers, limit, processes, threads, compiled, found), limit


def _workers_within(
    workers: int, limit: int, processes: int, threads: int, compiled: Compiled, found: list[Correction]
) -> int:
    """Return MaxRequestWorkers lowered to what ServerLimit holds in whole pods; say when no surge fits."""
    servers = workers // threads
    if servers > limit:
        held = limit - limit % processes
        _say(
            found,
            "mpm.maxRequestWorkers",
            compiled.workers_high,
            f"MaxRequestWorkers of {workers} would need {servers} servers and exceed ServerLimit of {limit}, "
            f"decreased to {held * threads}; to have more, raise serverLimit.",
        )
        servers = held
    if servers + processes > limit:
        _say(
            found,
            "mpm.serverLimit",
            "",
            f"ServerLimit of {limit} leaves no room for one pod above the {servers} servers of "
            "MaxRequestWorkers: "
            "at full size a rollout takes a pod away before it brings the new one "
            f"(maxUnavailable 1); {servers + processes} would leave room.",
        )
    return servers * threads


def _start_servers(mpm: MPMDirectives, compiled: Compiled, most: int, found: list[Correction]) -> int:
    start = mpm.start_servers
    if start is None:
        return min(compiled.start_servers, most)
    if start < 1:
        _say(
            found,
            "mpm.startServers",
            compiled.start_low,
            f"StartServers of {start} means nothing, increased to 1.",
        )
        return 1
    if start > most:
        _say(
            found,
            "mpm.startServers",
            "",
            f"StartServers of {start} exceeds the {most} servers of MaxRequestWorkers, decreased to {most}.",
        )
    return min(start, most)


def _band(mpm: MPMDirectives, compiled: Compiled, pod: int, found: list[Correction]) -> Band | None:
    """Return the band of spare slots; with one end given the other keeps httpd's proportion."""
    prefork = compiled.threads_hard == 1
    kind = "Servers" if prefork else "Threads"
    low = mpm.min_spare_servers if prefork else mpm.min_spare_threads
    high = mpm.max_spare_servers if prefork else mpm.max_spare_threads
    if low is None and high is None:
        return None
    if low is None and high is not None:
        low = max(1, min(high * compiled.min_spare // compiled.max_spare, high - pod - 1))
    assert low is not None
    if low < 1:
        _say(
            found,
            f"mpm.minSpare{kind}",
            compiled.spare_low,
            f"MinSpare{kind} of {low} means nothing, increased to 1 to avoid "
            "almost certain failure under load.",
        )
        low = 1
    least = low + pod + 1
    if high is None:
        return Band(low, max(least, -(-low * compiled.max_spare // compiled.min_spare)))
    if high < least:
        _say(
            found,
            f"mpm.maxSpare{kind}",
            "",
            f"MaxSpare{kind} of {high} is less than MinSpare{kind} + one pod + 1, increased to {least}; "
            "a narrower band would start and stop one pod for ever.",
        )
    return Band(low, max(high, least))


def _grace(mpm: MPMDirectives, found: list[Correction]) -> int:
    given = mpm.graceful_shutdown_timeout_seconds
    if given == 0:
        _say(
            found,
            "mpm.gracefulShutdownTimeoutSeconds",
            "",
            f"GracefulShutdownTimeout of 0 is without end in httpd; a pod's grace period is finite, "
            f"so {LONGEST_GRACE_SECONDS} is used.",
        )
        return LONGEST_GRACE_SECONDS
    return given


def _min_replicas(spec: WebServerSpec, max_pods: int, found: list[Correction]) -> int:
    given = spec.scaling.min_replicas
    if given > max_pods:
        _say(
            found,
            "scaling.minReplicas",
            "",
            f"minReplicas of {given} exceeds the {max_pods} pods that MaxRequestWorkers allows, "
            f"decreased to {max_pods}.",
        )
    return min(given, max_pods)

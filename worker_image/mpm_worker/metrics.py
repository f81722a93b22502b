"""The worker in Prometheus' text format, written by hand; what apache_exporter has too keeps its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpm_worker import compiled
from mpm_worker.scoreboard import BOUNDS
from mpm_worker.status import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mpm_worker.status import View

    Samples = Mapping[str, float]


def metrics(view: View, memory: Mapping[int, tuple[int, int]]) -> str:
    """The page `/metrics`.

    :param memory: resident and proportional bytes of each server, by its place in the scoreboard
    """
    rows = (*_apache(view), *_own(view), *_servers(view, memory))
    return "".join(_metric(*row) for row in rows) + _histogram(view)


def _metric(name: str, kind: str, words: str, samples: Samples | float) -> str:
    if isinstance(samples, (int, float)):
        samples = {"": samples}
    lines = [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{labels} {float(value):.15g}" for labels, value in samples.items()]
    return "\n".join(lines) + "\n"


def _by(label: str, **samples: float) -> Samples:
    return {f'{{{label}="{key}"}}': value for key, value in samples.items()}


def _apache(view: View) -> Iterator[tuple[str, str, str, Samples | float]]:
    load, totals = view.load, view.totals
    letters = {label: view.letters.count(letter) for letter, (_, label) in STATES.items()}
    connections = _by(
        "state",
        total=load.connections,
        reading=load.reading,
        # As on the page: in event a slot writes, and none of the connections that have no slot.
        writing=0 if view.mpm == "event" else sum(map(view.letters.count, "WLDG")),
        keepalive=load.keep_alive,
        closing=load.closing,
    )
    cpu = view.resources.cpu
    spent = _by(
        "type",
        user=round((cpu.user + cpu.children_user) * 1000),
        system=round((cpu.system + cpu.children_system) * 1000),
    )
    info = {f'{{mpm="{view.mpm}",version="{_escaped(view.version)}"}}': 1.0}
    yield "apache_up", "gauge", "Whether the scoreboard could be read.", 1
    yield "apache_workers", "gauge", "Slots by state.", _by("state", busy=view.busy, idle=view.idle)
    yield "apache_scoreboard", "gauge", "Slots by letter of the scoreboard.", _by("state", **letters)
    yield "apache_accesses_total", "counter", "Requests completed.", totals.accesses
    yield "apache_sent_kilobytes_total", "counter", "Kilobytes of content sent.", totals.sent / 1024
    yield "apache_duration_ms_total", "counter", "Slot time spent, in milliseconds.", totals.busy_ms
    yield "apache_uptime_seconds_total", "counter", "Seconds since the supervisor started.", view.uptime
    yield "apache_cpu_time_ms_total", "counter", "CPU time, in milliseconds.", spent
    percent = cpu.total / view.uptime * 100 if view.uptime else 0
    yield "apache_cpuload", "gauge", "Percent of one CPU used since the start, on average.", percent
    averages = dict(zip(("1min", "5min", "15min"), view.load_average, strict=True))
    yield "apache_load", "gauge", "Load average of the node.", _by("interval", **averages)
    generations = _by("type", config=view.generation + 1, mpm=view.generation)
    yield "apache_generation", "gauge", "How often servers were started anew.", generations
    yield "apache_info", "gauge", "What serves: version and Multi-Processing Module.", info
    yield "apache_version", "gauge", "Version as a number, 0.01 for 0.1.0.", _version(view.version)
    servers = _by("state", all=view.servers, stopping=view.stopping)
    yield "apache_processes", "gauge", "Server processes by state.", servers
    yield "apache_connections", "gauge", "Open connections by state.", connections


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _version(text: str) -> float:
    """As apache_exporter makes it of Name/2.4.63: 2.04063."""
    major, minor, patch = text.partition("/")[2].split(" ")[0].split(".")
    return float(f"{major}.{int(minor):02}{int(patch):03}")


def _own(view: View) -> Iterator[tuple[str, str, str, Samples | float]]:
    load, totals, backlog, allowed = view.load, view.totals, view.load.backlog, view.resources.allowed
    busy = load.busy / max(1, load.total)
    info = {f'{{hot_path="{compiled.kind()}"}}': 1.0}
    yield "mpm_worker_info", "gauge", "Which twin of the hot path runs: compiled or pure Python.", info
    yield "mpm_workers_busy_ratio", "gauge", "Busy slots over all slots, 0 to 1.", busy
    demand = "Busy slots and what waits for one, over all slots; above 1 slots are missing."
    yield "mpm_workers_demand_ratio", "gauge", demand, (load.busy + load.queue) / max(1, load.total)
    yield "mpm_queue_depth", "gauge", "Connections and requests that wait for a slot.", load.queue
    yield "mpm_backlog_limit", "gauge", "Room in the accept queue.", backlog.limit
    lost = "Connections lost because the accept queue was full."
    yield "mpm_backlog_overflows_total", "counter", lost, backlog.overflows
    yield "mpm_accepted_connections_total", "counter", "Connections accepted.", totals.connections
    yield "mpm_slot_seconds_total", "counter", "Slot time spent on requests.", totals.busy_ms / 1000
    cpu = "CPU time of the supervisor and its servers."
    yield "mpm_cpu_seconds_total", "counter", cpu, view.resources.cpu.total
    yield "mpm_cpu_quota_cpus", "gauge", "CPUs that may be used.", allowed.cpus
    throttled = "Time the control group was throttled."
    yield "mpm_cpu_throttled_seconds_total", "counter", throttled, allowed.throttled_ms / 1000
    yield "mpm_memory_limit_bytes", "gauge", "Memory that may be used; 0 is no limit.", allowed.memory
    refused = "Control calls that were refused."
    yield "mpm_control_unauthorized_total", "counter", refused, view.unauthorized


def _servers(
    view: View, memory: Mapping[int, tuple[int, int]]
) -> Iterator[tuple[str, str, str, Samples | float]]:
    """By place, not by PID: a place is taken again, so the number of series is bounded."""
    resident = _by("server", **{str(place): rss for place, (rss, _) in memory.items()})
    yield "mpm_server_resident_memory_bytes", "gauge", "Resident memory of each server.", resident
    # The kernel may keep it from who serves as another user than the one it was started as.
    proportional = _by("server", **{str(place): pss for place, (_, pss) in memory.items() if pss})
    words = "Memory of each server, what is shared divided by its sharers."
    yield "mpm_server_proportional_memory_bytes", "gauge", words, proportional
    yield "mpm_servers_ended_total", "counter", "Servers that ended, by reason.", _by("reason", **view.ended)


def _histogram(view: View) -> str:
    """Durations of requests: from the head read to the response sent."""
    if view.durations is None:
        return ""
    name, counts, count = "mpm_request_duration_seconds", view.durations.counts, 0
    lines = [f"# HELP {name} Time a request took, without the wait for a slot.", f"# TYPE {name} histogram"]
    for bound, number in zip((*(f"{bound:g}" for bound in BOUNDS), "+Inf"), counts, strict=True):
        count += number
        lines.append(f'{name}_bucket{{le="{bound}"}} {count}')
    lines += [f"{name}_sum {view.durations.seconds:.15g}", f"{name}_count {count}"]
    return "\n".join(lines) + "\n"

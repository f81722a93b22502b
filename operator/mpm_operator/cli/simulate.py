"""`mpm simulate`: what the operator would have done under a trace, and what it would have cost."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from mpm_operator.core.directives import normalise
from mpm_operator.core.explain import plural
from mpm_operator.core.planner import plan
from mpm_operator.core.record import Ring, dump, replay
from mpm_operator.core.spec import MPM, App, MPMDirectives, WebServerSpec
from mpm_operator.local.document import BadDocument, load
from mpm_operator.simulator.plot import svg
from mpm_operator.simulator.run import simulate as run
from mpm_operator.simulator.scenario import Balancer, Distribution, Scenario
from mpm_operator.simulator.trace import EXPECTED, BadTrace, parse, uneven

from .explain import read_dump

if TYPE_CHECKING:
    from mpm_operator.core.plan import Plan
    from mpm_operator.core.snapshot import Snapshot
    from mpm_operator.simulator.policy import Policy
    from mpm_operator.simulator.result import Result

DEFAULT_SLOTS = 25
MOST_PODS = 1000
"""Without a spec nothing is to be protected: the limits are set out of the way."""

_POSITIVE = click.FloatRange(min=0, min_open=True, max=86_400_000)
_NATURAL = click.FloatRange(min=0, max=86_400_000)


def _writable(_context: click.Context, _option: click.Parameter, file: Path | None) -> Path | None:
    """Refuse beforehand what can hold no file: a run of minutes shall not end for nothing."""
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        why = "is a directory" if file.is_dir() else "is in no directory that exists"
        raise click.BadParameter(f"`{file}` {why}; expected a path for a file.")
    return file


@click.command()
@click.option(
    "--trace",
    "trace_file",
    type=click.Path(path_type=Path),
    help="Requests a second, one line a second; of a CSV the last column.",
)
@click.option(
    "--spec",
    "spec_file",
    type=click.Path(path_type=Path),
    help="YAML with the WebServer; left out: all is computed, without limits.",
)
@click.option(
    "--service-ms", type=_POSITIVE, default=100.0, show_default=True, help="Mean time a request holds a slot."
)
@click.option(
    "--service-dist",
    type=click.Choice([d.value for d in Distribution]),
    default=Distribution.EXPONENTIAL.value,
    show_default=True,
    help="How it is spread around the mean.",
)
@click.option(
    "--startup",
    type=click.FloatRange(min=0, max=3600),
    default=8.0,
    show_default=True,
    help="Seconds from the creation of a pod until it is ready.",
)
@click.option(
    "--balancer",
    type=click.Choice([b.value for b in Balancer]),
    default=Balancer.RANDOM.value,
    show_default=True,
    help="Who gets the next connection: kube-proxy's choice, or an ingress proxy's.",
)
@click.option(
    "--slo-ms",
    type=_NATURAL,
    default=250.0,
    show_default=True,
    help="Longest wait for a slot that violates nothing.",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 10_000),
    help="Slots of a pod, in place of the spec's.  [default: the spec's, else 25]",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same run.")
@click.option(
    "--warm-up",
    type=click.IntRange(0, 86_400),
    default=240,
    show_default=True,
    help="Seconds of the first rate before the trace; not counted. 0 starts cold, with StartServers.",
)
@click.option(
    "--clients",
    type=click.IntRange(0, 1_000_000),
    default=0,
    show_default=True,
    help="Clients that keep their connections; 0 = a connection for each request.",
)
@click.option(
    "--stat-loss",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of scoreboard lines that get lost.",
)
@click.option(
    "--cpu-ms",
    type=_NATURAL,
    default=0.0,
    show_default=True,
    help="CPU time of a request; a pod has one CPU. 0 = no contention.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the figures and every change with its reason as JSON."
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    callback=_writable,
    help="Write the run as a picture (SVG).",
)
@click.option(
    "--dump",
    "dump_file",
    type=click.Path(path_type=Path),
    callback=_writable,
    help="Write the last decisions with their inputs, for `mpm explain --dump` and `--replay`.",
)
@click.option(
    "--replay",
    "replay_file",
    type=click.Path(path_type=Path),
    help="In place of a trace: make the decisions of a dump again. Exit code 1 when one differs.",
)
def simulate(
    trace_file: Path | None,
    spec_file: Path | None,
    service_ms: float,
    service_dist: str,
    startup: float,
    balancer: str,
    slo_ms: float,
    slots: int | None,
    seed: int,
    warm_up: int,
    clients: int,
    stat_loss: float,
    cpu_ms: float,
    as_json: bool,
    plot: Path | None,
    dump_file: Path | None,
    replay_file: Path | None,
) -> None:
    """Replay a trace in virtual time through the planner that runs in the cluster.

    Nothing is started: an hour passes in seconds.
    """
    if (trace_file is None) == (replay_file is None):
        raise click.UsageError("expected either --trace FILE or --replay FILE.")
    if replay_file is not None:
        sys.exit(_replay(replay_file))
    assert trace_file is not None
    rates = _trace(trace_file)
    spec = _spec(spec_file, slots)
    effective, corrections = normalise(spec)
    scenario = Scenario(
        service_s=service_ms / 1000,
        distribution=Distribution(service_dist),
        startup_s=startup,
        balancer=Balancer(balancer),
        slo_s=slo_ms / 1000,
        seed=seed,
        warm_up_s=warm_up,
        clients=clients,
        stat_loss=stat_loss,
        cpu_s=cpu_ms / 1000,
    )
    ring = Ring()
    policy = _of(spec, plan if dump_file is None else _kept(ring, warm_up))
    result = run(rates, effective, scenario, policy)
    if dump_file is not None:
        _write(dump_file, dump(ring.of(), ring.latest), "a path for a JSON file")
    if plot is not None:
        title = f"{trace_file.name}, {service_ms:g} ms {service_dist}, {balancer} balancer"
        _write(plot, svg(result, title), "a path for an SVG file")
    if as_json:
        click.echo(json.dumps(result.as_json()))
        return
    for correction in corrections if spec_file is not None else ():
        click.echo(f"{correction.field}: {correction.message}", err=True)
    click.echo(_table(result))


def _trace(file: Path) -> tuple[float, ...]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        rates = parse(lines, str(file))
    except BadTrace as error:
        raise click.UsageError(str(error)) from error
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"{file}:1: {EXPECTED}; it is not UTF-8 text (one that is compressed must be unpacked first)."
        ) from error
    except OSError as error:
        raise click.UsageError(f"{file}: cannot be read: {error.strerror}; {EXPECTED}.") from error
    remark = uneven(lines, str(file))
    if remark:
        click.echo(remark, err=True)
    return rates


def _spec(file: Path | None, slots: int | None) -> WebServerSpec:
    if file is None:
        threads = slots or DEFAULT_SLOTS
        mpm = MPMDirectives(threads_per_child=threads, max_request_workers=MOST_PODS * threads)
        return WebServerSpec(app=App(module="app:app"), mpm=mpm)
    try:
        spec = load(file, serves=False).spec
    except BadDocument as error:
        raise click.UsageError(str(error)) from error
    return spec if slots is None else _with_slots(spec, slots)


def _with_slots(spec: WebServerSpec, slots: int) -> WebServerSpec:
    """Return the spec with pods of `slots` slots: one server of so many threads; Prefork so many servers."""
    if spec.mpm.type is MPM.PREFORK:
        mpm = msgspec.structs.replace(spec.mpm, processes_per_pod=slots)
    else:
        limit = max(slots, spec.mpm.thread_limit or 0) or None
        mpm = msgspec.structs.replace(
            spec.mpm,
            threads_per_child=slots,
            processes_per_pod=1,
            thread_limit=limit if spec.mpm.thread_limit else None,
        )
    return msgspec.structs.replace(spec, mpm=mpm)


def _of(spec: WebServerSpec, policy: Policy) -> Policy:
    """Return the policy for a WebServer whose pods may be set by hand, or that may be paused."""
    if spec.replicas is None and not spec.paused:
        return policy

    def set_by_hand(snapshot: Snapshot, now: float) -> Plan:
        return policy(
            msgspec.structs.replace(snapshot, manual_replicas=spec.replicas, paused=spec.paused), now
        )

    return set_by_hand


def _kept(ring: Ring, warm_up: int) -> Policy:
    """Return the planner, with a witness that keeps its decisions, at seconds of the trace."""

    def policy(snapshot: Snapshot, now: float) -> Plan:
        made = plan(snapshot, now)
        ring.add("simulated", now - warm_up, now, snapshot, made)
        return made

    return policy


def _replay(file: Path) -> int:
    """Make the decisions of the dump again; return the exit code."""
    records, _ = read_dump(file)
    for number, record in enumerate(records, start=1):
        difference = replay(record)
        if difference:
            click.echo(f"{file}: decision {number} of {len(records)} ({record.name}): {difference}", err=True)
            return 1
    click.echo(f"{plural(len(records), 'decision')}, the same again")
    return 0


def _write(file: Path, text: str, expected: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(
            f"{file}: cannot be written: {error.strerror}; expected {expected}."
        ) from error


def _table(result: Result) -> str:
    rows = [
        ("requests", f"{result.requests:,}"),
        ("violations", f"{result.violations_percent:.3f} %"),
        ("lost", f"{result.lost:,}"),
        ("p99 wait", f"{result.p99_wait_ms:.0f} ms"),
        (
            "pod-seconds",
            f"{result.pod_seconds:,.0f} ({result.cost:.2f} × ideal {result.ideal_pod_seconds:,.0f})",
        ),
        ("peak pods", f"{result.peak_pods} (needed: {result.needed_peak_pods})"),
        ("flaps an hour", f"{result.flaps_per_hour:g}"),
        ("in flight on victims", f"{result.in_flight_on_victims}"),
        ("busy on victims", f"{result.busy_on_victims} (newest first: {result.busy_on_newest})"),
        ("API writes", f"{result.api_writes}"),
    ]
    reasons = Counter(change.reason for change in result.changes)
    rows += [(f"changes: {reason}", str(count)) for reason, count in reasons.most_common()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

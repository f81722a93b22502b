"""A whole run: trace, directives, scenario and policy in, figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cluster import Cluster
from .executor import Operator
from .load import requests
from .measures import Measures
from .result import summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpm_operator.core.effective import Effective

    from .policy import Policy
    from .result import Result
    from .scenario import Scenario


def simulate(rates: Sequence[float], effective: Effective, scenario: Scenario, policy: Policy) -> Result:
    """Replay `rates` (requests a second, one value a second) and return what happened.

    The same arguments give the same result, provided that `policy` brings no state from an earlier run.
    """
    start = float(scenario.warm_up_s)
    measures = Measures(start, len(rates), scenario.slo_s)
    whole = [*[rates[0]] * scenario.warm_up_s, *rates]
    cluster = Cluster(effective, scenario, requests(whole, scenario), measures)
    Operator(cluster, policy, measures)
    if scenario.warm_up_s:
        cluster.run(start)
    measures.begin(cluster.ordered_pods())
    for second in range(len(rates)):
        cluster.run(start + second + 1)
        _note(cluster, measures)
    end = start + len(rates)
    for arrival in cluster.waiting():
        if end - arrival > scenario.slo_s:
            measures.waited(arrival, end - arrival)
    return summarise(rates, effective, scenario, cluster, measures)


def _note(cluster: Cluster, measures: Measures) -> None:
    """Write down the state at the end of a second."""
    measures.pods.append(cluster.ordered_pods())
    measures.ready.append(len(cluster.endpoints))
    measures.slots.append(sum(pod.slots for pod in cluster.alive if pod.in_endpoints and pod.accepts))

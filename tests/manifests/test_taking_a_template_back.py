"""What a Deployment remembers of its templates, and what comes back when the newest never gets ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mpm_operator.core.directives import normalise
from mpm_operator.core.spec import WebServerSpec
from mpm_operator.manifests.rollout import (
    GOOD,
    SOURCE_MOST,
    Failure,
    failure_of,
    good_of,
    is_complete,
    is_stuck,
    restored,
    source,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.manifests import Children

Deployment = dict[str, Any]


def told(built: Children, status: str, reason: str, generation: int = 1) -> Deployment:
    """Return the Deployment as it runs, with what its controller says of the rollout."""
    condition = {"type": "Progressing", "status": status, "reason": reason}
    meta = built.deployment["metadata"] | {"generation": generation}
    return built.deployment | {
        "metadata": meta,
        "status": {"observedGeneration": 1, "conditions": [condition]},
    }


def complete(built: Children) -> Deployment:
    return told(built, "True", "NewReplicaSetAvailable")


def parsed(spec: dict[str, Any]) -> WebServerSpec:
    return msgspec.convert({"app": {"module": "shop:app"}} | spec, WebServerSpec)


def test_a_new_template_remembers_the_last_good_one(build: Callable[..., Children]) -> None:
    one = build({"image": "shop:1"})
    two = build({"image": "shop:2"}, running=complete(one))
    back = restored(parsed({"image": "shop:2"}), good_of(two.deployment))
    assert back is not None
    assert build(msgspec.to_builtins(back), running=two.deployment).generation == one.generation


def test_a_template_that_was_never_complete_is_not_the_good_one(build: Callable[..., Children]) -> None:
    one = build({"image": "shop:1"})
    two = build({"image": "shop:2"}, running=complete(one))
    three = build({"image": "shop:3"}, running=told(two, "True", "ReplicaSetUpdated"))
    assert good_of(three.deployment) == good_of(two.deployment)
    first = build({"image": "shop:2"}, running=told(one, "True", "ReplicaSetUpdated"))
    assert GOOD not in first.deployment["metadata"]["annotations"], "then there is none to go back to"


def test_nothing_is_written_for_a_change_that_rolls_nothing(build: Callable[..., Children]) -> None:
    one = build()
    two = build({"mpm": {"threadsPerChild": 20}}, running=complete(one))
    assert two.deployment["metadata"] == one.deployment["metadata"]


def test_the_limits_and_what_is_live_stay_those_of_the_spec() -> None:
    good = source(parsed({"mpm": {"type": "Prefork", "maxRequestWorkers": 64}}), "shop:1")
    now = parsed(
        {
            "mpm": {"type": "Event", "maxRequestWorkers": 32, "threadsPerChild": 5},
            "http": {"timeoutSeconds": 9},
            "scaling": {"minReplicas": 2},
            "image": "shop:2",
        }
    )
    back = restored(now, good)
    assert back is not None
    assert (back.image, back.mpm.type.value, back.mpm.threads_per_child) == ("shop:1", "Prefork", 5)
    assert (back.mpm.max_request_workers, back.http.timeout_seconds, back.scaling.min_replicas) == (32, 9, 2)


def test_a_rollback_cuts_no_request_that_a_live_change_gave_more_time(build: Callable[..., Children]) -> None:
    first = {"threadsPerChild": 25, "threadLimit": 64, "gracefulShutdownTimeoutSeconds": 60}
    live = {"threadsPerChild": 60, "gracefulShutdownTimeoutSeconds": 600, "maxConnectionsPerChild": 9}
    one = build({"image": "shop:1", "mpm": first})
    two = build({"image": "shop:1", "mpm": first | live}, running=complete(one))
    bad = first | live | {"threadLimit": 128, "threadsPerChild": 100}
    three = build({"image": "shop:2", "mpm": bad}, running=complete(two))
    back = restored(parsed({"image": "shop:2", "mpm": bad}), good_of(three.deployment))
    assert back is not None
    effective, _ = normalise(back)
    assert (effective.thread_limit, effective.threads_per_child) == (64, 64), "the nearest that its pods can"
    assert effective.graceful_shutdown_timeout_seconds == 600
    assert effective.max_connections_per_child == 9
    again = build(msgspec.to_builtins(back), running=three.deployment)
    assert again.deployment["spec"]["template"] == two.deployment["spec"]["template"], "no other pods"


def test_pods_with_more_time_than_the_spec_asks_for_now_are_not_replaced_by_the_way_back(
    build: Callable[..., Children],
) -> None:
    shorter = {"mpm": {"gracefulShutdownTimeoutSeconds": 10}, "scaling": {"drainDelaySeconds": 1}}
    one = build({"image": "shop:1"})
    two = build({"image": "shop:1"} | shorter, running=complete(one))
    three = build({"image": "shop:2"} | shorter, running=complete(two))
    stuck = told(three, "False", "ProgressDeadlineExceeded")
    back = build({"image": "shop:1"} | shorter, running=stuck)
    assert back.deployment["spec"]["template"] == one.deployment["spec"]["template"]
    four = build({"image": "shop:2"} | shorter, running=told(back, "True", "ReplicaSetUpdated"))
    again = build({"image": "shop:1"} | shorter, running=told(four, "True", "ReplicaSetUpdated"))
    assert again.deployment["spec"]["template"] == one.deployment["spec"]["template"], "by hand, twice"
    late = build({"image": "shop:1"} | shorter, running=complete(three))
    grace = late.deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace == 21, "the old pods are gone"


def test_a_directive_that_the_good_template_left_out_is_left_out_again() -> None:
    back = restored(parsed({"mpm": {"listenBacklog": 7}}), source(parsed({}), "shop:1"))
    assert back is not None
    assert back.mpm == parsed({}).mpm


def test_the_failure_is_kept_until_something_else_is_built(build: Callable[..., Children]) -> None:
    one = build({"image": "shop:1"})
    failed = build({"image": "shop:2"}, running=complete(one))
    failure = Failure(f"{failed.generation}/2", "ImagePullBackOff")
    back = build(
        {"image": "shop:1"}, running=told(failed, "False", "ProgressDeadlineExceeded"), failure=failure
    )
    assert failure_of(back.deployment) == failure
    assert good_of(back.deployment) == good_of(failed.deployment), "the stuck template is not the good one"
    assert failure_of(build({"image": "shop:3"}, running=back.deployment).deployment) is None


def test_the_controllers_word_counts_when_it_is_about_the_newest_template(
    build: Callable[..., Children],
) -> None:
    assert is_complete(complete(build()))
    assert is_stuck(told(build(), "False", "ProgressDeadlineExceeded"))
    assert not is_complete(told(build(), "True", "NewReplicaSetAvailable", generation=2))
    assert not is_stuck(told(build(), "False", "ProgressDeadlineExceeded", generation=2))
    assert not is_stuck(build().deployment)


def test_a_template_too_large_for_an_annotation_is_not_remembered(build: Callable[..., Children]) -> None:
    notes = [{"name": f"NOTE_{n}", "value": "x" * 4096} for n in range(SOURCE_MOST // 4096)]
    large = {"podTemplate": {"spec": {"containers": [{"name": "worker", "env": notes}]}}}
    assert build(large).deployment["metadata"]["annotations"] == {}


@given(st.text(max_size=40))
def test_an_annotation_that_somebody_edited_is_no_good_template(text: str) -> None:
    back = restored(parsed({"image": "shop:2"}), text)
    assert back is None or back.app == parsed({}).app

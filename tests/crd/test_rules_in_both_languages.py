"""A rule says the same to the API server, in CEL, and to a single machine, in Python."""

from __future__ import annotations

from typing import Any

import cel
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpm_operator.core.rules import RULES, Rule, violations
from mpm_operator.core.spec import WebServerSpec

counts = st.integers(0, 100)
names = st.text("ab-0A.", max_size=5) | st.integers(60, 66).map(lambda length: "a" * length)
directives = st.fixed_dictionaries(
    {"type": st.sampled_from(["Prefork", "Worker", "Event"])},
    optional={
        "threadsPerChild": counts,
        "threadLimit": counts,
        "minSpareThreads": counts,
        "maxSpareThreads": counts,
        "minSpareServers": counts,
        "maxSpareServers": counts,
    },
)


def allowed(rule: Rule, name: str, spec: dict[str, Any]) -> bool:
    """What the API server would say; `spec` is as it is after defaults."""
    node: Any = {"metadata": {"name": name}, "spec": spec}
    for step in rule.scope.split(".") if rule.scope else ():
        node = node[step]
    return bool(cel.evaluate(rule.cel, {"self": node}))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.path)
@given(name=names, mpm=directives)
def test_both_judge_alike(rule: Rule, name: str, mpm: dict[str, Any]) -> None:
    spec = {"app": {"module": "a:b"}, "mpm": mpm}
    assert rule.holds(name, msgspec.convert(spec, WebServerSpec)) == allowed(rule, name, spec)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.path)
def test_every_rule_can_be_broken(rule: Rule) -> None:
    field = rule.path.rpartition(".")[2]
    kind = "Prefork" if "Thread" in field or "thread" in field else "Event"
    mpm = {"type": kind} | ({} if field == "name" else {field: 1})
    spec = msgspec.convert({"app": {"module": "a:b"}, "mpm": mpm}, WebServerSpec)
    (broken,) = violations("Shop" if field == "name" else "shop", spec)
    assert str(broken) == f"{rule.path}: {rule.message}"


def test_a_good_webserver_breaks_none() -> None:
    spec = msgspec.convert({"app": {"module": "a:b"}, "mpm": {"threadsPerChild": 5}}, WebServerSpec)
    assert violations("shop", spec) == ()


def test_a_factory_is_written_with_empty_parentheses() -> None:
    spec = msgspec.convert({"app": {"module": "shop.web:make.app()"}}, WebServerSpec)
    assert spec.app.module == "shop.web:make.app()"
    for module in ("shop:make(1)", "shop:make(", "shop:()", "shop:make()()"):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.app\.module"):
            msgspec.convert({"app": {"module": module}}, WebServerSpec)

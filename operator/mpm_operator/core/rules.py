"""What a schema cannot say: fields that mean nothing beside others. Each rule once, in two languages.

The CRD carries the CEL expression, so that the API server refuses with the rule's own sentence; where there
is no API server, `violations` evaluates the same rule in Python. A test feeds both with the same resources.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from .spec import MPMDirectives, WebServerSpec

NAME_PATTERN = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
NAME_LENGTH = 63


class Rule(Struct, frozen=True):
    """One rule of the resource."""

    scope: str
    """Where the CEL expression stands, and what its `self` is: `` (the resource) or `spec.mpm`."""
    field: str
    """Path of the field to blame, below `scope`."""
    cel: str
    message: str
    """What the field must be, with the remedy."""
    holds: Callable[[str, WebServerSpec], bool]
    """The same in Python, of the resource's name and its spec."""

    @property
    def path(self) -> str:
        """Full path of the field to blame."""
        return f"{self.scope}.{self.field}" if self.scope else self.field


class Violation(Struct, frozen=True):
    """A field that breaks a rule, and the rule's sentence."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def violations(name: str, spec: WebServerSpec) -> tuple[Violation, ...]:
    """Every rule that the WebServer `name` breaks, in the order of the rules."""
    return tuple(Violation(rule.path, rule.message) for rule in RULES if not rule.holds(name, spec))


def _only(mpms: str, field: str, value: Callable[[MPMDirectives], int | None], why: str) -> Rule:
    """A directive that only some MPMs have. `mpms` is `Prefork` or `Threaded` (Worker and Event)."""
    prefork = mpms == "Prefork"
    sign, kinds = ("==", "Prefork") if prefork else ("!=", "Worker or Event")
    return Rule(
        "spec.mpm",
        field,
        f"self.type {sign} 'Prefork' || !has(self.{field})",
        f"must be left out unless `type` is {kinds}: {why}",
        lambda _, spec: (spec.mpm.type.value == "Prefork") is prefork or value(spec.mpm) is None,
    )


def _is_name(name: str) -> bool:
    """NAME_PATTERN without `re`: rules of a few characters are read faster as characters."""
    inner = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    return 0 < len(name) <= NAME_LENGTH and "a" <= name[0] <= "z" and set(name) <= inner and name[-1] != "-"


ONE_THREAD = "a Prefork server has one thread"

RULES: tuple[Rule, ...] = (
    Rule(
        "",
        "metadata.name",
        f"size(self.metadata.name) <= {NAME_LENGTH} && self.metadata.name.matches('{NAME_PATTERN}')",
        f"must be at most {NAME_LENGTH} of a-z, 0-9 and `-`, start with a letter and not end with `-`: "
        "its Service has the same name",
        lambda name, _: _is_name(name),
    ),
    _only("Threaded", "threadsPerChild", lambda mpm: mpm.threads_per_child, ONE_THREAD),
    _only("Threaded", "threadLimit", lambda mpm: mpm.thread_limit, ONE_THREAD),
    _only(
        "Threaded",
        "minSpareThreads",
        lambda mpm: mpm.min_spare_threads,
        "Prefork counts servers, use `minSpareServers`",
    ),
    _only(
        "Threaded",
        "maxSpareThreads",
        lambda mpm: mpm.max_spare_threads,
        "Prefork counts servers, use `maxSpareServers`",
    ),
    _only(
        "Prefork",
        "minSpareServers",
        lambda mpm: mpm.min_spare_servers,
        "Worker and Event count threads, use `minSpareThreads`",
    ),
    _only(
        "Prefork",
        "maxSpareServers",
        lambda mpm: mpm.max_spare_servers,
        "Worker and Event count threads, use `maxSpareThreads`",
    ),
)

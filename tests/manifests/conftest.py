"""Builders of the tests in this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mpm_operator.core.directives import normalise
from mpm_operator.core.spec import WebServerSpec
from mpm_operator.engines import engine
from mpm_operator.manifests import Children, ControlKeys, Owner, children, control_key

if TYPE_CHECKING:
    from collections.abc import Callable

OWNER = Owner(name="shop", namespace="market", uid="7f0c1d52-3c0e-4d0e-9a51-0b6a4c2f1d11")
KEYS = ControlKeys(control_key(b"m" * 32, OWNER.uid, 1))


@pytest.fixture
def owner() -> Owner:
    return OWNER


@pytest.fixture
def build() -> Callable[..., Children]:
    """Children of a WebServer with the given parts of its spec."""

    def build(spec: dict[str, Any] | None = None, **more: Any) -> Children:
        parsed = msgspec.convert({"app": {"module": "shop:app"}} | (spec or {}), WebServerSpec)
        effective, _ = normalise(parsed)
        chosen = engine(parsed.engine)
        arguments = {"default_image": "mpm-worker:1", "keys": KEYS} | more
        return children(
            OWNER,
            parsed,
            effective,
            config=chosen.config(parsed, effective),
            rollout=chosen.rollout(parsed, effective),
            arguments=chosen.arguments(parsed, effective),
            **arguments,
        )

    return build

"""The corpora of this folder as parameters and fixtures."""

from __future__ import annotations

from typing import Any

import pytest
from streams import DEFAULT, bad_chunks, broken_bodies, corpus, read_events, refused, streams


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, values in (("refusal", refused), ("broken_body", broken_bodies), ("bad_chunks", bad_chunks)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values(), ids=lambda case: f"{case[2]}: {case[0][-40:]!r}")
    if "accepted" in metafunc.fixturenames:
        metafunc.parametrize("accepted", corpus("accepted"), ids=lambda case: repr(case["stream"][:60]))


@pytest.fixture(scope="session")
def all_streams() -> list[bytes]:
    return streams()


@pytest.fixture(scope="session")
def events() -> Any:
    return lambda pieces, limits=DEFAULT: read_events(pieces, limits)


@pytest.fixture(scope="session")
def refusals() -> list[tuple[bytes, int, str]]:
    return refused()


@pytest.fixture(scope="session", name="broken_bodies")
def all_broken_bodies() -> list[tuple[bytes, int, str]]:
    return broken_bodies()


@pytest.fixture(scope="session")
def good_requests() -> list[dict[str, Any]]:
    return corpus("accepted")

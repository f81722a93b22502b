"""What every test may use. The real cluster's fixtures live in `cluster/testcluster/fixtures.py`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import pytest

# No deadline and no complaint about slow data: a noisy machine is not a fault of the code. In CI always the
# same examples, so that a change is judged by itself; elsewhere new ones, to find what nobody thought of.
settings.register_profile(
    "noisy",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("noisy")

pytest_plugins = ["testcluster.fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that need the cluster last, the longest of these first."""
    items.sort(
        key=lambda item: (item.get_closest_marker("cluster") is not None, "e2e" not in item.path.parts)
    )

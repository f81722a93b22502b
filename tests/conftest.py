"""What every test may use. The real cluster's fixtures live in `cluster/testcluster/fixtures.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import pytest

# No deadline and no complaint about slow data: a noisy machine is not a fault of the code.
settings.register_profile("noisy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy")

pytest_plugins = ["testcluster.fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that need the cluster last, the longest of these first."""
    items.sort(
        key=lambda item: (item.get_closest_marker("cluster") is not None, "e2e" not in item.path.parts)
    )

"""What every test may use. The real cluster's fixtures live in `cluster/testcluster/fixtures.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["testcluster.fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that need the cluster last: the quick ones fail first."""
    items.sort(key=lambda item: item.get_closest_marker("cluster") is not None)

"""What holds for all tests."""

import pytest

SYSTEM_RERUNS = 2
"""A test with real phones, sound and a recogniser may be tried again, as a person asks again; each rerun is told in
the summary. A fault of the product fails all three times."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("system") is not None:
            item.add_marker(pytest.mark.flaky(reruns=SYSTEM_RERUNS))

"""What holds for all tests."""

import gc
from collections.abc import Generator
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import settings

# The same stories each time: what one commit passes, it passes again. Other ones: --hypothesis-profile=default.
settings.register_profile("suite", derandomize=True, database=None)
settings.load_profile("suite")
SYSTEM_RERUNS = 2
"""A test with real phones, sound and a recogniser may be tried again, as a person asks again; each rerun is told in
the summary, with what failed. A fault of the product fails all three times."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("system") is not None:
            item.add_marker(pytest.mark.flaky(reruns=SYSTEM_RERUNS))
    # Those that wait for sound and phones first, side by side; those that calculate fill what time is left.
    items.sort(key=lambda item: "/tests/system/" not in item.path.as_posix())


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"why it was tried again: {report.nodeid}", sep="_")
        terminalreporter.line(report.longreprtext)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """A failure is told with the source around it. In Python 3.11 (gh-106905), garbage that is collected while that
    source is being parsed can break the parser, "AST constructor recursion depth mismatch", and with it the whole run.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()

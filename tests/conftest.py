"""What holds for all tests."""

import gc
import itertools
from collections.abc import Generator
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

# The same stories each time: what one commit passes, it passes again, however busy the machine. Other stories:
# --hypothesis-profile=default.
settings.register_profile("suite", derandomize=True, database=None, deadline=None)
settings.load_profile("suite")
SYSTEM_RERUNS = 2
"""A test with real phones, sound and a recogniser may be tried again, as a person asks again; each rerun is told in
the summary, with what failed. A fault of the product fails all three times."""
LONGEST = "tests/system/test_link_cut_"
"""Files whose tests take minutes each, nearly all of it waiting, and share nothing."""


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """A file stays with one worker, which makes its servers once; the longest tests go to any."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(LONGEST) else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("system") is not None:
            item.add_marker(pytest.mark.flaky(reruns=SYSTEM_RERUNS))
    items[:] = _in_turn(items)


def _in_turn(items: list[pytest.Item]) -> list[pytest.Item]:
    """What waits for sound and phones first, side by side; what calculates fills the time left.

    The longest hold many conversations at once: they are spread among the other files, so that few of them meet.
    """
    longest = [item for item in items if item.nodeid.startswith(LONGEST)]
    system = [item for item in items if item.nodeid.startswith("tests/system/") and item not in longest]
    files = [list(file) for _, file in itertools.groupby(system, key=lambda item: item.path)]
    spread = [item for file in files for item in file]
    for place, item in enumerate(longest):
        before = files[place * len(files) // len(longest)] if files else []
        spread.insert(spread.index(before[0]) if before else len(spread), item)
    return spread + [item for item in items if not item.nodeid.startswith("tests/system/")]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """What is collected stays to the end: the garbage collector looks through it neither meanwhile nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


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

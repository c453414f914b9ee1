"""Libraries as they are loaded."""

import gc
import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import DriverMissing
from appliance.loading import kept, library


@pytest.fixture(autouse=True)
def searching() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.enable()
    yield
    if not was_on:
        gc.disable()


def fresh_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"loaded_by_{folder.name}"
    (folder / f"{name}.py").write_text("ring = []\nring.append(ring)\n")
    monkeypatch.syspath_prepend(folder)
    return name


def test_what_is_loaded_is_not_searched_for_garbage_meanwhile_nor_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = fresh_module(tmp_path, monkeypatch)
    with kept():
        module = importlib.import_module(name)
        assert not gc.isenabled()
    assert gc.isenabled()
    assert all(held is not module.ring for held in gc.get_objects())
    sys.modules.pop(name)


def test_where_all_was_there_already_nothing_more_is_kept() -> None:
    frozen, ring = gc.get_freeze_count(), [1]
    with kept():
        importlib.import_module("json")
    assert gc.get_freeze_count() <= frozen
    assert any(held is ring for held in gc.get_objects())


def test_garbage_is_searched_for_again_once_the_last_of_them_is_loaded() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with kept():
            inside.set()
            leave.wait(10)

    with kept():
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(10)
    assert not gc.isenabled()
    leave.set()
    thread.join(10)
    assert gc.isenabled()


def test_a_library_that_is_missing_is_told_with_its_remedy() -> None:
    with (
        pytest.raises(DriverMissing, match="absent cannot be imported: No module") as told,
        library("absent"),
    ):
        importlib.import_module("a_library_that_nobody_has")
    assert told.value.hint == "install the library absent"
    assert isinstance(told.value.__cause__, ImportError)
    assert gc.isenabled()


@pytest.mark.slow
def test_no_verb_starts_threads_for_computing() -> None:
    script = (
        "import os, appliance.cli as cli; cli.main(['version']);"
        "import numpy; print(len(os.listdir('/proc/self/task')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1"

"""What `doctor` says of the machine it runs on."""

import errno
import os
from pathlib import Path

import pytest

from appliance.config.schema import Configuration, Storage
from appliance.disk_faults import unwritable
from appliance.machine_checks import MACHINE_CHECKS


def disk(directory: Path) -> tuple[str, str]:
    check = next(check for check in MACHINE_CHECKS if check.__name__ == "_disk")
    (finding,) = check(Configuration(storage=Storage(directory=directory)))
    return finding.state, finding.message


@pytest.mark.parametrize(
    ("code", "told", "remedy"),
    [
        (errno.EACCES, "denied", "as another user"),
        (errno.ENOSPC, "No space", "make room"),
        (errno.EIO, "Input/output error", "put in another"),
        (errno.EROFS, "Read-only", "put in another"),
    ],
)
def test_what_keeps_a_disk_from_being_written_has_its_own_remedy(code: int, told: str, remedy: str):
    message, hint = unwritable(OSError(code, os.strerror(code)), "as another user")
    assert told in message
    assert remedy in hint


def test_a_disk_is_written_to_and_nothing_is_left_on_it(tmp_path: Path):
    state, message = disk(tmp_path / "not/there/yet")
    assert "MB free" in message
    assert state in ("ok", "failed")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path):
    if not Path("/proc/1/task").is_dir():
        pytest.skip("no file system of the kernel's own")
    state, message = disk(Path("/proc/1"))
    assert state == "failed"
    assert "cannot be written" in message

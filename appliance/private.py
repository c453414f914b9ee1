"""Files with what was said, or when: only the appliance's own user may read them, whatever the umask."""

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700


def make_directory(path: Path) -> None:
    """Make `path` for the owner alone. One that is there keeps its mode: somebody may have chosen it."""
    path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)


def opener(path: str, flags: int) -> int:
    """For `open(opener=...)`: a new file is the owner's alone."""
    return os.open(path, flags, FILE_MODE)


def draft_opener(path: str, flags: int) -> int:
    """For `open(opener=...)`: a file that is new in any case. Root writes such in the daemon's directory, and would
    follow a link that stood there."""
    Path(path).unlink(missing_ok=True)
    return os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)


def tighten(paths: Iterable[Path]) -> None:
    """Take everybody else's rights to files that are there."""
    for path in paths:
        # It may have gone meanwhile, or be another user's: then it is not ours to judge.
        with contextlib.suppress(OSError):
            if stat.S_IMODE(path.stat().st_mode) & ~FILE_MODE:
                path.chmod(FILE_MODE)

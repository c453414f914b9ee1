"""What provisioning does to a system, as data: files under a root directory, and programs of a running one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

SERVICE_USER: Final = "handset"
"""Whom the daemon runs as, where there is such a user."""


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Put `content` at `path` (absolute, below the root), all of it or nothing. `owner` "" is whoever does it."""

    path: PurePosixPath
    content: str = field(repr=False)
    mode: int = 0o644
    owner: str = ""


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """One that is there keeps what is in it."""

    path: PurePosixPath
    mode: int = 0o755
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link, in place of what is there."""

    path: PurePosixPath
    target: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Take the file away, if it is there."""

    path: PurePosixPath


@dataclass(frozen=True, slots=True)
class Run:
    """Run a program of the system, which may be missing unless `needed`. `stdin` may hold a secret, told to nobody."""

    command: tuple[str, ...]
    stdin: str = field(default="", repr=False)
    needed: bool = False


Action = WriteFile | MakeDirectory | Link | Remove | Run
Plan = Sequence[Action]

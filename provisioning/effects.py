"""Carries out actions under a root directory: "/" of the machine, a card that is mounted, or a tree for a test."""

import contextlib
import errno
import os
import pwd
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from appliance.errors import ApplianceError, NotPossible
from provisioning.actions import Action, Link, MakeDirectory, Plan, Run, WriteFile

RUN_SECONDS: Final = 60.0
_REMEDIES: Final = {
    errno.ENOSPC: "make room: recordings and old backups take most",
    errno.EDQUOT: "make room: recordings and old backups take most",
    errno.EROFS: "this place is read-only: on the image it cannot be set",
    errno.EIO: "the card fails: put in another one",
}
Runner = Callable[[Run], None]
"""Runs a program; raise NotPossible where it fails."""


class CannotWrite(ApplianceError):
    """A file of the system cannot be written."""

    code = "cannot_write"


def run_program(run: Run) -> None:
    """Run it on this machine, at most RUN_SECONDS. Raise NotPossible where it is missing or fails."""
    try:
        done = subprocess.run(
            run.command,
            input=run.stdin or None,
            text=True,
            capture_output=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise NotPossible(f"there is no program {run.command[0]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotPossible(f"{run.command[0]} did not end well: {type(error).__name__}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotPossible(f"{run.command[0]} failed" + (f": {said[-1]}" if said and not run.stdin else ""))


def run_nothing(_: Run) -> None:
    """For a tree that is not the running system: its files say it all."""


@dataclass(slots=True)
class Effects:
    """`root` stands for "/"; `programs` runs what is to be run."""

    root: Path = Path("/")
    programs: Runner = run_nothing
    failures: list[str] = field(default_factory=list)

    @classmethod
    def on(cls, root: Path) -> "Effects":
        """On the running system programs are run, in any other tree none."""
        return cls(root, run_program if root == Path("/") else run_nothing)

    def carry_out(self, plan: Plan) -> None:
        """In order; each file at once or not at all. Raise CannotWrite where one cannot be written, NotPossible where a
        needed program fails; the failures of others are kept in `failures`."""
        for action in plan:
            self._one(action)

    def place(self, path: PurePosixPath) -> Path:
        """Where `path` is in this tree."""
        return self.root / path.relative_to("/")

    def _one(self, action: Action) -> None:
        if isinstance(action, Run):
            self._run(action)
            return
        path = self.place(action.path)
        try:
            if isinstance(action, WriteFile):
                self._write(path, action)
            elif isinstance(action, MakeDirectory):
                self._make(path, action.mode, action.owner)
            elif isinstance(action, Link):
                _replace_by_link(path, action.target, self.root)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "run it as root: sudo handset ...")
            raise CannotWrite(f"{path} cannot be written: {error.strerror}", hint=remedy) from error

    def _run(self, action: Run) -> None:
        try:
            self.programs(action)
        except NotPossible as error:
            if action.needed:
                raise
            self.failures.append(error.message)

    def _make(self, path: Path, mode: int, owner: str) -> None:
        if not path.is_dir():
            path.mkdir(mode=mode, parents=True)
            path.chmod(mode)
            _give(path, owner, self.root)

    def _write(self, path: Path, action: WriteFile) -> None:
        self._make(path.parent, 0o755, "")
        if _is_mount(path):
            _write_in_place(path, action.content)
            return
        draft = path.with_name(f".{path.name}.new")
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, action.mode & 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(action.content)
                file.flush()
                os.fchmod(file.fileno(), action.mode)
                _give(draft, action.owner, self.root)
                os.fsync(file.fileno())
            draft.rename(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)


def _is_mount(path: Path) -> bool:
    """Also of a file; pathlib knows directories only."""
    return path.is_file() and not path.is_symlink() and path.stat().st_dev != path.parent.stat().st_dev


def _write_in_place(path: Path, content: str) -> None:
    """A file that is a mount of its own, as those of a read-only root are, cannot be replaced."""
    with path.open("r+", encoding="utf-8") as file:
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _replace_by_link(path: Path, target: str, root: Path) -> None:
    """What leads on to a place of its own, as on a read-only root, is followed there."""
    if path.is_symlink() and (led := path.readlink()).is_absolute() and not led.is_relative_to("/usr"):
        path = root / led.relative_to("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.rename(path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give(path: Path, owner: str, root: Path) -> None:
    """To that user, where there is one and we may; a tree has users of its own."""
    if owner and os.geteuid() == 0 and (ids := user_ids(owner, root)):
        os.chown(path, *ids)


def user_ids(name: str, root: Path = Path("/")) -> tuple[int, int] | None:
    """User and group of that name in the tree; None where it has no such user."""
    if root == Path("/"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        return entry.pw_uid, entry.pw_gid
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (root / "etc/passwd").read_text(encoding="utf-8").splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2]), int(fields[3])
    return None

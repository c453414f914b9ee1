"""The verb `factory-reset`: everything that somebody gave or said goes; what the device is, stays.

Its name, its SSH host key and its machine id stay: it is the same device. Secrets are written over first, as far as a
card lets itself be written over.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from appliance.errors import Forbidden, NotPossible, RequestInvalid
from provisioning.actions import Run
from provisioning.belongings import TOKENS, Belongings
from provisioning.effects import Effects
from provisioning.wifi import DIRECTORY, RELOAD

REQUEST: Final = "factory-reset"
"""A file of that name in the state directory asks for it: the daemon may write there, and nowhere else."""
_WORD: Final = "reset"
_KEYS: Final = "etc/ssh/keys"


def factory_reset(args: argparse.Namespace) -> int:
    """Ask, unless told not to; 0 when everything is gone, 4 where somebody thought better of it."""
    root = Path(args.root)
    what = Belongings.here(root)
    if not args.yes:
        _confirm(what)
    gone = wipe(what, keep_network=args.keep_network)
    effects = Effects.on(root)
    if not args.keep_network:
        effects.carry_out([RELOAD])
    if root == Path("/") and what.settings.is_relative_to("/etc"):
        effects.carry_out([Run(("systemctl", "--no-block", "try-restart", "handset.service"))])
    print(
        f"{gone} files are gone. The next start is as the first one was; settings come from the card or handset setup."
    )
    return 0


def _confirm(what: Belongings) -> None:
    if not sys.stdin.isatty():
        raise RequestInvalid("nobody is there to confirm it", hint="handset factory-reset --yes")
    print(
        f"Settings in {what.settings}, passwords, keys, history and recordings in {what.state} will be gone for good."
    )
    if input(f'Type "{_WORD}" to go on: ').strip() != _WORD:
        raise Forbidden("nothing was done")


def wipe(what: Belongings, *, keep_network: bool = False) -> int:
    """Take away everything of `what`; return how many files. Raise NotPossible where one cannot be taken away.

    What is asked to be kept, and what belongs to the device, stays. Idempotent: what was cut off is done again.
    """
    count = 0
    try:
        for path in _secrets(what, keep_network=keep_network):
            _blank(path)
            path.unlink()
            count += 1
        for path in _rest(what):
            path.unlink(missing_ok=True)
            count += 1
        for home in (what.settings, what.state):
            _prune(home)
    except OSError as error:
        raise NotPossible(
            f"{error.filename} cannot be taken away: {error.strerror}",
            hint="run it as root: sudo handset factory-reset",
        ) from error
    os.sync()
    return count


def _secrets(what: Belongings, *, keep_network: bool) -> Iterator[Path]:
    yield from _files(what.secrets)
    yield from _existing(what.state / TOKENS)
    if what.settings.is_relative_to(what.root / "etc"):
        for store in ("etc/credstore", "etc/credstore.encrypted"):
            yield from sorted((what.root / store).glob("handset.*"))
        yield from sorted((what.root / _KEYS).glob("authorized_keys.*"))
        if not keep_network:
            yield from sorted((what.root / DIRECTORY.relative_to("/")).glob("*.nmconnection"))
    for home in (what.settings, what.state):
        for kept in sorted(home.glob("before-restore-*")):
            # The state directory is the daemon's: a link there may lead anywhere, and goes as a link, with the rest.
            if not kept.is_symlink():
                yield from _files(kept)


def _rest(what: Belongings) -> Iterator[Path]:
    """The state last of all names the request, so that a reset which is cut off is asked for still."""
    yield from _files(what.settings)
    files = list(_files(what.state))
    yield from sorted(files, key=lambda path: path == what.state / REQUEST)


def _files(directory: Path) -> Iterator[Path]:
    yield from sorted(path for path in directory.rglob("*") if path.is_file() or path.is_symlink())


def _existing(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path


def _blank(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        return
    with contextlib.suppress(PermissionError), path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())


def _prune(home: Path) -> None:
    """Empty directories below it; those that the system makes come back at the next start."""
    for path in sorted((one for one in home.rglob("*") if one.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()

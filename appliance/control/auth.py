"""Control tokens: made by `pair`, kept as hashes in STATE/tokens.json, shared by the daemon and the command line."""

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from appliance import private
from appliance.control.protocol import Scope
from appliance.disk_faults import unwritable
from appliance.errors import Forbidden, NotPossible, UnknownName

_USE_NOTED_EVERY: Final = 600.0
_LOCK_WITHIN: Final = 2.0
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; never the token itself. `last_used` is exact to ten minutes."""

    digest: str
    name: str
    scope: str
    created: float
    last_used: float = 0.0

    @property
    def id(self) -> str:
        """The short name by which it is listed and revoked."""
        return self.digest[:8]


class Tokens:
    """The tokens in `directory`. A changed file is read again at each look: a new or revoked token counts at once."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "tokens.json"
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()
        self._damaged = False

    @property
    def damaged(self) -> bool:
        """True when the file is there but cannot be read: then nobody is let in without a token, nor with one."""
        self._refresh()
        return self._damaged

    def paired(self) -> bool:
        """True when a token must be asked for on loopback too."""
        self._refresh()
        return bool(self._tokens) or self._damaged

    def find(self, secret: str) -> Token | None:
        """The token whose secret this is, or None."""
        self._refresh()
        digest = _digest(secret)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    def list(self) -> tuple[Token, ...]:
        self._refresh()
        return self._tokens

    def pair(self, scope: Scope, name: str) -> str:
        """Make a token and return its secret, which is kept nowhere. Raise Forbidden where it may not write."""
        secret = secrets.token_urlsafe(24)
        with self._writing():
            self._write((*self._tokens, Token(_digest(secret), name, str(scope), time.time())))
        return secret

    def revoke(self, which: str) -> Token:
        """Remove the token of that id or name. Raise UnknownName, or NotPossible when two tokens share the name."""
        with self._writing():
            matching = [token for token in self._tokens if which in (token.id, token.name)]
            if not matching:
                raise UnknownName(f"there is no token {which!r}", hint="handset pair --list shows the tokens")
            if len(matching) > 1:
                raise NotPossible(
                    f"{len(matching)} tokens are called {which!r}", hint="give the id instead of the name"
                )
            self._write(tuple(token for token in self._tokens if token is not matching[0]))
        return matching[0]

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._seen, self._tokens, self._damaged = None, (), False
            return
        except OSError:
            self._seen, self._tokens, self._damaged = None, (), True
            return
        mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if mark == self._seen:
            return
        try:
            self._tokens, self._damaged = _read(self._path), False
        except (OSError, ValueError, TypeError, KeyError):
            self._tokens, self._damaged = (), True
        self._seen = mark

    def note_use(self, used: Token) -> None:
        """Any thread: write down that the token was used, unless that was done lately. Waits for the disk."""
        now = time.time()
        if now - used.last_used <= _USE_NOTED_EVERY:
            return
        # Of its own, since the caller's may be in use on another thread.
        file = Tokens(self._path.parent)
        # The state directory may be read-only or full: that must not keep anybody out.
        with contextlib.suppress(OSError, Forbidden, NotPossible), file._writing():
            file._write(
                tuple(
                    replace(token, last_used=now) if token.digest == used.digest else token
                    for token in file._tokens
                )
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            private.make_directory(self._path.parent)
            # Root gives the lock to the service: never what a link of the service leads to.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            lock = os.open(self._path.with_suffix(".lock"), flags, private.FILE_MODE)
        except OSError as error:
            raise _refused(self._path, error) from error
        try:
            _keep_owner(lock, self._path.parent)
            _lock(lock)
            self._seen = None
            self._refresh()
            if self._damaged:
                raise NotPossible(f"{self._path} is damaged", hint="remove it and pair anew")
            yield
        except OSError as error:
            raise _refused(self._path, error) from error
        finally:
            os.close(lock)

    def _write(self, tokens: tuple[Token, ...]) -> None:
        """Replace the file in one step, so that a power cut leaves the old one or the new one."""
        text = json.dumps({"version": 1, "tokens": [asdict(token) for token in tokens]}, indent=1)
        temporary = self._path.with_suffix(".new")
        with open(temporary, "w", encoding="utf-8", opener=private.draft_opener) as file:
            _keep_owner(file.fileno(), self._path.parent)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        self._seen = None
        self._refresh()


def _digest(secret: str) -> str:
    # The secrets have 192 random bits: a slow hash would add nothing.
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _read(path: Path) -> tuple[Token, ...]:
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["tokens"]
    tokens = tuple(Token(**entry) for entry in entries)
    if not all(_DIGEST.fullmatch(token.digest) for token in tokens):
        raise ValueError(path)
    return tokens


def _keep_owner(descriptor: int, directory: Path) -> None:
    """A file written by root in the service's directory belongs to the service, or the daemon could not read it."""
    owner = directory.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + _LOCK_WITHIN
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise NotPossible("the token file is locked by another program") from None
            time.sleep(0.02)
        else:
            return


def _refused(path: Path, error: OSError) -> Forbidden:
    told, hint = unwritable(error, "run it as the user of the service, or with sudo")
    return Forbidden(f"{path.parent} cannot be written: {told}", hint=hint)

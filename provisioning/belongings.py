"""What belongs to an appliance alone: settings, secrets, state. Where it lies, and what of it is secret."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.config.files import CHECKOUT
from appliance.config.load import is_secret, load
from appliance.config.secrets import is_reference
from provisioning.draft import leaves

DATABASE: Final = "handset.db"
TOKENS: Final = "tokens.json"
_SQLITE_BESIDE: Final = re.compile(r".*\.db-(wal|shm|journal)")
_TRANSIENT: Final = re.compile(
    r"\..*|.*\.(new|tmp|lock)|handset\.broken-.*|.*\.told|provisioned\.json|before-restore-.*|factory-reset"
)
_KEY: Final = re.compile(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*=")


@dataclass(frozen=True, slots=True)
class Belongings:
    """Directories; `root` is the tree that they are in."""

    settings: Path
    secrets: Path
    state: Path
    root: Path = Path("/")

    @classmethod
    def here(cls, root: Path = Path("/")) -> "Belongings":
        """Of the appliance, or of the checkout that the code runs from."""
        configured = load(environ={}, root=root).sound
        storage = configured.storage.directory if configured else Path("/var/lib/handset")
        if root == Path("/") and (CHECKOUT / "checkout.toml").exists():
            state = CHECKOUT / ".state"
            return cls(state / "conf.d", state / "secrets", storage, root)
        return cls(root / "etc/handset", root / "etc/handset/secrets", root / storage.relative_to("/"), root)

    def settings_files(self) -> Iterator[tuple[str, Path]]:
        """Name in a backup, and path."""
        for path in sorted(self.settings.rglob("*")):
            if path.is_file() and not path.is_relative_to(self.secrets) and not _passing(path, self.settings):
                yield f"settings/{path.relative_to(self.settings)}", path

    def secret_files(self) -> Iterator[tuple[str, Path]]:
        """Likewise; the tokens of the control API are hashes, and secret all the same."""
        for path in sorted(self.secrets.glob("*")):
            if path.is_file():
                yield f"secrets/{path.name}", path
        if (self.state / TOKENS).is_file() and not (self.state / TOKENS).is_symlink():
            yield f"state/{TOKENS}", self.state / TOKENS

    def state_files(self, *, recordings: bool) -> Iterator[tuple[str, Path]]:
        """Likewise, without the database, which is copied by its own means, without the tokens, and without links:
        root would follow those that the daemon makes, wherever they lead."""
        for path in sorted(self.state.rglob("*")):
            name = path.relative_to(self.state)
            apart = path.is_relative_to(self.settings) or path.is_relative_to(self.secrets)
            if path.is_symlink() or not path.is_file() or apart or _passing(path, self.state):
                continue
            if path.name in (DATABASE, TOKENS) or _SQLITE_BESIDE.fullmatch(path.name):
                continue
            if recordings or path.suffix != ".wav":
                yield f"state/{name}", path


def _passing(path: Path, below: Path) -> bool:
    return any(_TRANSIENT.fullmatch(part) for part in path.relative_to(below).parts)


def without_secrets(text: str) -> str | None:
    """A settings file whose secrets are commented out; None where that cannot be done line by line."""
    if _secrets_in(text) is False:
        return text
    lines = []
    for line in text.splitlines(keepends=True):
        key = _KEY.match(line)
        if key and is_secret(key[1]) and not is_reference(line.partition("=")[2].strip().strip("\"'")):
            lines.append(f"# {key[1]} was left out of the backup\n")
        else:
            lines.append(line)
    left = "".join(lines)
    return left if _secrets_in(left) is False else None


def _secrets_in(text: str) -> bool | None:
    """None for what is no TOML: who knows what it holds."""
    try:
        tree: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    return any(
        isinstance(value, str | int) and value and is_secret(path[-1]) and not is_reference(str(value))
        for path, value in leaves(tree)
    )

"""What a release says of itself: version, for whom it was made, and the checksum of each file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from appliance.errors import ReleaseRefused
from provisioning.release.places import PROGRAM, is_version

FORMAT: Final = 1
MANIFEST_BYTES: Final = 16 << 20
TREE_BYTES: Final = 4 << 30


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the tree."""

    sha256: str
    size: int
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """`machine` as platform.machine() says it, `python` as "3.13": the wheels in `site/` fit no other."""

    version: str
    machine: str
    python: str
    files: Mapping[str, Entry]

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.files.values())

    def encoded(self) -> bytes:
        """The bytes that are signed."""
        files = {
            path: [entry.sha256, entry.size, entry.executable] for path, entry in sorted(self.files.items())
        }
        body = {
            "format": FORMAT,
            "product": "handset",
            "version": self.version,
            "machine": self.machine,
            "python": self.python,
            "files": files,
        }
        return json.dumps(body, indent=0, sort_keys=True).encode()


def read_manifest(text: bytes) -> Manifest:
    """The manifest in `text`. Raise ReleaseRefused for one that is none, or names a file outside the tree."""
    try:
        body: Any = json.loads(text)
        if body["format"] != FORMAT or body["product"] != "handset":
            raise ReleaseRefused("this is a release of something else, or of another format")
        files = {
            _inside(str(path)): Entry(str(sha256), int(size), bool(executable))
            for path, (sha256, size, executable) in body["files"].items()
        }
        manifest = Manifest(str(body["version"]), str(body["machine"]), str(body["python"]), files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseRefused(
            f"the manifest of this release cannot be read: {type(error).__name__}"
        ) from error
    if not is_version(manifest.version):
        raise ReleaseRefused("the manifest of this release has no usable version")
    if PROGRAM not in files or not files[PROGRAM].executable:
        raise ReleaseRefused(f"the release has no program {PROGRAM}")
    if any(entry.size < 0 for entry in files.values()) or manifest.size > TREE_BYTES:
        raise ReleaseRefused("the release is larger than any")
    return manifest


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or str(pure) != path or "\0" in path:
        raise ReleaseRefused("the release has a file outside its folder")
    return path


def misfit(manifest: Manifest, machine: str, python: str) -> str:
    """Why the release does not run here; empty when it does."""
    if manifest.machine != machine:
        return f"it is made for {manifest.machine}, and this is {machine}"
    if manifest.python != python:
        return f"it is made for Python {manifest.python}, and this is {python}"
    return ""

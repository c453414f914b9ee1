"""A backup as a tar file: a manifest first, with versions and a checksum of each file, then the files.

Names are `settings/...` (below /etc/handset), `secrets/...`, `state/...` (below the state directory).
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from appliance.errors import RequestInvalid

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
AREAS: Final = ("settings", "secrets", "state")
_MANIFEST_SIZE: Final = 1 << 20
_MOST_FILES: Final = 20_000
_PIECE: Final = 1 << 20


class Damaged(RequestInvalid):
    """The file is no backup, or not as it was written."""

    code = "backup_damaged"
    default_hint = "take another backup; this one was changed, or cut short while it was copied"


class Newer(RequestInvalid):
    """A later version wrote it."""

    code = "backup_newer"
    default_hint = "update this appliance first"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself; `schema` is that of its database, 0 without one; `made_at` in Unix seconds."""

    version: str
    schema: int
    made_at: float
    device: str = ""
    secrets: bool = False
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    format: int = FORMAT


def write(target: IO[bytes], manifest: Manifest, files: Mapping[str, Path]) -> None:
    """`files` by their names in the backup. What is written is gone through twice: for the checksums, and to copy."""
    sizes = {name: path.stat().st_size for name, path in files.items()}
    entries = {name: {"size": sizes[name], "sha256": _digest(path)} for name, path in files.items()}
    told = json.dumps({**asdict(manifest), "files": entries}, indent=1).encode()
    with tarfile.open(fileobj=target, mode="w:gz", compresslevel=6) as tar:
        _add(tar, MANIFEST, io.BytesIO(told), len(told), manifest.made_at)
        for name, path in files.items():
            with path.open("rb") as file:
                _add(tar, name, file, sizes[name], path.stat().st_mtime)


def _add(tar: tarfile.TarFile, name: str, file: IO[bytes], size: int, at: float) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, int(at), 0o600
    tar.addfile(info, file)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(source: IO[bytes], into: Path) -> Manifest:
    """Unpack below `into` and check all of it. Raise Damaged or Newer; what lies in `into` by then is worth nothing."""
    try:
        with tarfile.open(fileobj=source, mode="r:gz") as tar:
            manifest = _manifest(tar)
            found = {_unpack_one(tar, info, manifest, into) for info in tar}
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Damaged("this is no backup, or it is damaged") from error
    if missing := manifest.files.keys() - found:
        raise Damaged(f"{len(missing)} of its files are missing")
    return manifest


def _manifest(tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    file = (
        tar.extractfile(first)
        if first is not None and first.isreg() and first.size <= _MANIFEST_SIZE
        else None
    )
    if file is None or first is None or first.name != MANIFEST:
        raise Damaged("this is no backup: it has no manifest")
    try:
        said = json.loads(file.read())
        if int(said["format"]) > FORMAT:
            raise Newer(f"this backup was made by Handset {said.get('version', 'of later')}, which is newer")
        known = {
            key: said[key] for key in ("version", "schema", "made_at", "device", "secrets", "files", "format")
        }
        manifest = Manifest(**known)
        names = list(manifest.files)
        sound = isinstance(said["schema"], int) and all(
            isinstance(entry["size"], int) and isinstance(entry["sha256"], str)
            for entry in manifest.files.values()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged("its manifest cannot be read") from error
    if not sound or len(names) > _MOST_FILES or not all(map(_is_harmless, names)):
        raise Damaged("its manifest names what no backup holds")
    return manifest


def _is_harmless(name: str) -> bool:
    """Below one of our areas, and nowhere else."""
    path = PurePosixPath(name)
    inside = len(path.parts) > 1 and path.parts[0] in AREAS and not path.is_absolute()
    return inside and not {"..", "."} & set(path.parts) and str(path) == name and "\x00" not in name


def _unpack_one(tar: tarfile.TarFile, info: tarfile.TarInfo, manifest: Manifest, into: Path) -> str:
    if info.name == MANIFEST:
        return MANIFEST
    entry = manifest.files.get(info.name)
    file = (
        tar.extractfile(info) if entry is not None and info.isreg() and info.size == entry["size"] else None
    )
    if entry is None or file is None:
        raise Damaged(f"{info.name!r} is not as its manifest says")
    path = into / info.name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("xb") as target:
        path.chmod(0o600)
        while piece := file.read(_PIECE):
            digest.update(piece)
            target.write(piece)
    if digest.hexdigest() != entry["sha256"]:
        raise Damaged(f"{info.name!r} is not as it was written")
    return info.name

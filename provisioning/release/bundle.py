"""A release in one file: a compressed tar with the manifest, its signature, then every file in the manifest's order."""

import hashlib
import io
import lzma
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from appliance.errors import ReleaseRefused
from provisioning.release.manifest import MANIFEST_BYTES, Entry, Manifest, read_manifest
from provisioning.release.signature import sign, verify
from provisioning.release.tape import Tape

_MANIFEST: Final = "manifest.json"
_SIGNATURE: Final = "manifest.sig"
_SIGNATURE_BYTES: Final = 4096
_BLOCK: Final = 1 << 20
_AGAIN: Final = "get it again from where it was published"
_BROKEN: Final = (lzma.LZMAError, EOFError, OSError)


def manifest_of(tree: Path, version: str, machine: str, python: str) -> Manifest:
    """What the tree holds. Raise ReleaseRefused for links and the like: only plain files travel."""
    files: dict[str, Entry] = {}
    for path in sorted(tree.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise ReleaseRefused(f"{path} is no plain file")
        if path.is_file():
            content = path.read_bytes()
            executable = os.access(path, os.X_OK)
            files[path.relative_to(tree).as_posix()] = Entry(
                hashlib.sha256(content).hexdigest(), len(content), executable
            )
    return Manifest(version, machine, python, files)


def pack(tree: Path, manifest: Manifest, key: bytes, bundle: Path, *, preset: int = 3) -> None:
    """Write `bundle`: the same tree and key make the same file."""
    text = manifest.encoded()
    with (
        lzma.open(bundle, "wb", preset=preset) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, _MANIFEST, text, executable=False)
        _add(tar, _SIGNATURE, sign(text, key), executable=False)
        for path, entry in sorted(manifest.files.items()):
            _add(tar, path, (tree / path).read_bytes(), executable=entry.executable)


def _add(tar: tarfile.TarFile, name: str, content: bytes, *, executable: bool) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o755 if executable else 0o644
    tar.addfile(info, io.BytesIO(content))


class Bundle:
    """An open bundle whose manifest is read and whose signature is good; the files follow, once, by `unpack`.

    Raise ReleaseRefused from the constructor and from `unpack`.
    """

    def __init__(self, path: Path, keys: Iterable[Ed25519PublicKey]) -> None:
        try:
            self._file = path.open("rb")
        except FileNotFoundError as error:
            raise ReleaseRefused(f"there is no file {path}") from error
        except OSError as error:
            raise ReleaseRefused(f"{path} is no release") from error
        self._tape = Tape(self._file)
        try:
            text = self._next(_MANIFEST, MANIFEST_BYTES)
            verify(text, self._next(_SIGNATURE, _SIGNATURE_BYTES), keys)
            self.manifest = read_manifest(text)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def unpack(self, into: Path) -> None:
        """Write every file below `into`, each compared with the signed manifest while it is written, and durable."""
        left = dict(self.manifest.files)
        try:
            while (member := self._tape.next()) is not None:
                entry = left.pop(member.name, None)
                if entry is None:
                    raise ReleaseRefused("the release has a file that its manifest does not name")
                if member.size != entry.size:
                    raise ReleaseRefused("the release is damaged", hint=_AGAIN)
                _write(self._tape, into / member.name, entry)
        except _BROKEN as error:
            raise _damaged(error) from error
        if left:
            raise ReleaseRefused("the release is not whole: files are missing")

    def _next(self, name: str, most: int) -> bytes:
        try:
            member = self._tape.next()
            if member is None or member.name != name or member.size > most:
                raise ReleaseRefused("this is no release: its manifest is not where it belongs")
            return self._tape.read(most)
        except _BROKEN as error:
            raise _damaged(error) from error


def _damaged(error: Exception) -> ReleaseRefused:
    if isinstance(error, OSError) and error.errno is not None:
        return ReleaseRefused(
            f"the release could not be unpacked: {error.strerror}", hint="make room, then try again"
        )
    return ReleaseRefused("the release is damaged", hint=_AGAIN)


def _write(tape: Tape, path: Path, entry: Entry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("xb") as file:
        while block := tape.read(_BLOCK):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fchmod(file.fileno(), 0o755 if entry.executable else 0o644)
        os.fsync(file.fileno())
    if digest.hexdigest() != entry.sha256:
        raise ReleaseRefused("the release is damaged", hint=_AGAIN)

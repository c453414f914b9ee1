"""Other systems than the image's, made of it, in signed bundles that an emulated box fetches from this machine.

Signed with the keys that the image was signed with: those of the environment, or this checkout's development keys.
"""

import functools
import os
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from image import bundle, disk
from image.signing import signing
from tests.image.board import HOST
from tests.image.machine import Machine

_KEYS: Final = Path(__file__).parents[2] / ".cache" / "image" / "keys"
_ABOUT: Final = "/usr/lib/os-release"
_PROGRAM: Final = "/usr/lib/handset/release/bin/handset"


class Web:
    """Offers the files of a folder to the box."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fetched(self, box: Machine, name: str, place: str) -> str:
        """A file of the folder, in the box's folder `place`; its path there."""
        address = f"http://{HOST}:{self._server.server_address[1]}/{name}"
        fetch = f"import urllib.request as u; u.urlretrieve('{address}', '{place}/{name}')"
        box.shell(f'python3 -c "{fetch}"', seconds=1800.0)
        return f"{place}/{name}"


def another(image: Path, folder: Path, version: str, *, run: str = "") -> Path:
    """A bundle in `folder` of the image's system as `version`; `run` is a line of shell in place of the daemon."""
    card = folder / f"{version}.img"
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(image), str(card)], check=True)
    root = f"{card}?offset={disk.offsets(disk.LAYOUT)[1] * disk.MIB}"
    before = next(line for line in _read(root, _ABOUT).splitlines() if line.startswith("IMAGE_VERSION="))
    _write(root, _ABOUT, folder, _read(root, _ABOUT).replace(before, f'IMAGE_VERSION="{version}"'), 0o644)
    if run:
        program = _read(root, _PROGRAM).replace("exec ", f'if [ "$1" = run ]; then {run}; fi\nexec ', 1)
        _write(root, _PROGRAM, folder, program, 0o755)
    target = folder / f"{version}.raucb"
    bundle.pack(card, version, signing(os.environ, _KEYS), target, epoch=0)
    card.unlink()
    return target


def _read(root: str, path: str) -> str:
    return subprocess.check_output(["debugfs", "-R", f"cat {path}", root], text=True, stderr=subprocess.PIPE)


def _write(root: str, path: str, folder: Path, content: str, mode: int) -> None:
    source = folder / "content"
    source.write_text(content)
    source.chmod(mode)
    script = f"rm {path}\nwrite {source} {path}\n"
    subprocess.run(
        ["debugfs", "-w", "-f", "-", root], input=script, text=True, check=True, capture_output=True
    )
    assert _read(root, path) == content

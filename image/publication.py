"""What goes out beside an image: checksums, and the manifest that Raspberry Pi Imager reads. Pure but for `sha256`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEVICES: Final[Mapping[str, tuple[str, ...]]] = {
    "debian": ("pi3-64bit", "pi4-64bit"),
    "rpios": ("pi3-64bit", "pi4-64bit", "pi5-64bit"),
}
"""Tags of Raspberry Pi Imager for the boards that a flavour is made for."""


@dataclass(frozen=True, slots=True)
class Package:
    """A compressed image file: sizes in bytes, digests of the file and of what it unpacks to."""

    name: str
    packed_size: int
    packed_sha256: str
    size: int
    sha256: str


def sha256(path: Path) -> str:
    """A file's digest, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums(digests: Mapping[str, str]) -> str:
    """As `sha256sum --check` reads it."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def imager(package: Package, flavour: str, version: str, released: str) -> str:
    """A manifest with this one image: Imager offers its customisation (cloud-init) for it.

    Its `url` is the file's name: the manifest lies beside the file. `released` is a date, YYYY-MM-DD.
    """
    entry = {
        "name": f"Handset {version}",
        "description": f"A voice-agent appliance, on {'Debian' if flavour == 'debian' else 'Raspberry Pi OS'}'s kernel",
        "url": package.name,
        "extract_size": package.size,
        "extract_sha256": package.sha256,
        "image_download_size": package.packed_size,
        "image_download_sha256": package.packed_sha256,
        "release_date": released,
        "init_format": "cloudinit",
        "devices": list(DEVICES[flavour]),
    }
    return json.dumps({"os_list": [entry]}, indent=1) + "\n"

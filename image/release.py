"""The application's release as it is published: one signed file, from a commit, with its checksum."""

from pathlib import Path
from typing import Final

from appliance.errors import ReleaseRefused
from image import publication
from image.layers import RecipeFault
from provisioning.release.bundle import manifest_of, pack
from provisioning.release.manifest import read_manifest

MACHINE: Final = "aarch64"
PYTHON: Final = "3.13"
"""Debian trixie's."""


def require_clean(version: str) -> None:
    """A release can be made again from its commit: refuses what is not committed."""
    if version.endswith("+"):
        raise RecipeFault(
            "there are changes that are not committed", "git status; commit them, or git worktree add"
        )


def write(tree: Path, version: str, key: Path, folder: Path) -> None:
    """Puts `handset-VERSION-aarch64.tar.xz` and SHA256SUMS into `folder`: same tree and key, same bytes."""
    target = folder / f"handset-{version}-{MACHINE}.tar.xz"
    try:
        manifest = manifest_of(tree, version, MACHINE, PYTHON)
        read_manifest(manifest.encoded())
        pack(tree, manifest, key.read_bytes(), target)
    except ReleaseRefused as error:
        raise RecipeFault(error.message, error.hint) from error
    (folder / "SHA256SUMS").write_text(publication.checksums({target.name: publication.sha256(target)}))

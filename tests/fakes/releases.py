"""Releases in a directory of their own, and bundles of more of them."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from provisioning.release.bundle import manifest_of, pack
from provisioning.release.places import Places
from provisioning.release.signature import public_of

MACHINE, PYTHON = "aarch64", "3.13"


def new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def tree(where: Path, behaviour: str) -> Path:
    """A release's folder."""
    (where / "bin").mkdir(parents=True)
    (where / "site").mkdir()
    program = where / "bin/handset"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (where / "site/appliance.py").write_text(f"# {behaviour}\n")
    (where / "behaviour").write_text(behaviour)
    return where


def place(directory: Path, key: bytes) -> Places:
    """A system with version 0.1.0 in force, which came with it, and the key that it trusts."""
    places = Places(directory / "opt", directory / "usr/release", (directory / "keys",))
    tree(places.factory, "well")
    (places.factory / "site/handset-0.1.0.dist-info").mkdir()
    places.releases.mkdir(parents=True)
    places.current.symlink_to(places.factory)
    places.keys[0].mkdir()
    (places.keys[0] / "test.pem").write_bytes(public_of(key))
    return places


def bundle(directory: Path, version: str, behaviour: str, key: bytes, *, machine: str = MACHINE) -> Path:
    """A signed release in one file."""
    made = tree(directory / f"made-{version}-{behaviour}", behaviour)
    path = directory / f"handset-{version}.tar.xz"
    pack(made, manifest_of(made, version, machine, PYTHON), key, path, preset=0)
    return path

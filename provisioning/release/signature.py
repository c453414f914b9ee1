"""Ed25519 signatures of manifests. Keys are PEM files, as `openssl genpkey -algorithm ed25519` makes them."""

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from appliance.errors import ReleaseRefused


def sign(text: bytes, key: bytes) -> bytes:
    """The signature of `text` by the private key in the PEM file `key`, in base64. Raise ReleaseRefused."""
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise ReleaseRefused("the key cannot be read", hint="openssl genpkey -algorithm ed25519") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ReleaseRefused("the key is none of Ed25519", hint="openssl genpkey -algorithm ed25519")
    return base64.b64encode(private.sign(text)) + b"\n"


def public_of(key: bytes) -> bytes:
    """The PEM file of the public half of the private key `key`."""
    private = load_pem_private_key(key, None)
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def verify(text: bytes, signature: bytes, keys: Iterable[Ed25519PublicKey]) -> None:
    """Raise ReleaseRefused unless one of `keys` signed `text`."""
    trusted = tuple(keys)
    if not trusted:
        raise ReleaseRefused(
            "no key is trusted to sign releases",
            hint="put its public half in /etc/handset/release-keys/NAME.pem",
        )
    try:
        raw = base64.b64decode(signature, validate=False)
    except binascii.Error as error:
        raise ReleaseRefused("the signature of this release cannot be read") from error
    for key in trusted:
        try:
            key.verify(raw, text)
        except InvalidSignature:
            continue
        return
    raise ReleaseRefused(
        "this release is not signed by a key that is trusted here",
        hint="it was changed on the way, or it is somebody else's: get it again from where it was published",
    )


def trusted_keys(directories: Iterable[Path]) -> list[Ed25519PublicKey]:
    """All `*.pem` of `directories`; a file that is no Ed25519 key raises ReleaseRefused by name."""
    keys: list[Ed25519PublicKey] = []
    for path in [path for directory in directories for path in sorted(directory.glob("*.pem"))]:
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ReleaseRefused(f"{path} is no public key") from error
        if not isinstance(key, Ed25519PublicKey):
            raise ReleaseRefused(f"{path} is no Ed25519 key")
        keys.append(key)
    return keys

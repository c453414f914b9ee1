"""A file that only a passphrase opens: scrypt makes the key, AES-256-GCM seals pieces of a mebibyte.

Each piece's nonce holds its number and whether it is the last, so that none can be left out, swapped or added. Form:
the magic line, a line of JSON (salt and the costs of scrypt, in hexadecimal and numbers), then the pieces.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from typing import IO, Any, Final

from appliance.errors import DriverMissing, RequestInvalid

MAGIC: Final = b"HANDSET-SEALED-1\n"
_PIECE: Final = 1 << 20
_TAG: Final = 16
COST: Final = {"n": 1 << 15, "r": 8, "p": 1}
_MOST_MEMORY: Final = 1 << 27
"""What a header may make us use: 128 MB, four times what ours asks for."""
SHORTEST: Final = 8


class CannotOpen(RequestInvalid):
    """The passphrase is wrong, or the file was damaged: nobody can tell which."""

    code = "cannot_open"


def seal(source: IO[bytes], target: IO[bytes], passphrase: str) -> None:
    """Copy `source` to `target`, sealed."""
    salt = os.urandom(16)
    header = {"salt": salt.hex(), **COST}
    target.write(MAGIC + json.dumps(header).encode() + b"\n")
    cipher = _cipher(passphrase, salt, COST)
    for number, (piece, last) in enumerate(_pieces(source, _PIECE)):
        target.write(cipher.encrypt(_nonce(number, last=last), piece, MAGIC))


def unseal(source: IO[bytes], target: IO[bytes], passphrase: str) -> None:
    """Copy what is sealed in `source`, from its beginning, to `target`. Raise CannotOpen; what was copied by then is
    worth nothing."""
    from cryptography.exceptions import InvalidTag

    if source.readline(len(MAGIC)) != MAGIC:
        raise CannotOpen("this is no sealed backup")
    salt, cost = _header(source.readline(400))
    cipher = _cipher(passphrase, salt, cost)
    for number, (piece, last) in enumerate(_pieces(source, _PIECE + _TAG)):
        try:
            target.write(cipher.decrypt(_nonce(number, last=last), piece, MAGIC))
        except InvalidTag as error:
            raise CannotOpen(
                "the passphrase is wrong, or the file is damaged",
                hint="try the passphrase again, or another backup",
            ) from error


def _header(line: bytes) -> tuple[bytes, dict[str, int]]:
    try:
        header = json.loads(line)
        cost = {key: int(header[key]) for key in COST}
        salt = bytes.fromhex(header["salt"])
    except (ValueError, KeyError, TypeError) as error:
        raise CannotOpen("the file is damaged at its beginning", hint="take another backup") from error
    if not (
        cost["n"] > 1 and cost["r"] > 0 and 0 < cost["p"] <= 4 and 128 * cost["n"] * cost["r"] <= _MOST_MEMORY
    ):
        raise CannotOpen("the file is damaged at its beginning", hint="take another backup")
    return salt, cost


def _cipher(passphrase: str, salt: bytes, cost: dict[str, int]) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise DriverMissing(
            "the library cryptography is not installed", hint="pip install cryptography"
        ) from error
    try:
        key = hashlib.scrypt(passphrase.encode(), salt=salt, maxmem=_MOST_MEMORY * 2, dklen=32, **cost)
    except ValueError as error:
        raise CannotOpen("the file is damaged at its beginning", hint="take another backup") from error
    return AESGCM(key)


def _nonce(number: int, *, last: bool) -> bytes:
    return struct.pack(">IQ", int(last), number)


def _pieces(source: IO[bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """Pieces and whether each is the last; an empty source is one empty piece."""
    piece = source.read(size)
    while True:
        following = source.read(size)
        yield piece, not following
        if not following:
            return
        piece = following

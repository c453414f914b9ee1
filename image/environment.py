"""The boot loader's variables, as they lie on the card: two copies in the gap before the first partition. Pure.

boot/boot.cmd reads and writes them before there is a kernel, `fw_setenv` (through RAUC) in the running system, by
/etc/fw_env.config.
"""

import zlib
from collections.abc import Mapping
from typing import Final

COPIES: Final = (0x80000, 0x100000)
"""Where they begin, in bytes from the start of the card."""
SIZE: Final = 0x4000
_HEAD: Final = 5
FIRST: Final[Mapping[str, str]] = {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "0"}
"""What an image begins with: slot B is empty."""


def encode(variables: Mapping[str, str], number: int) -> bytes:
    """One copy: CRC of the text, its `number` (0 to 255, the larger is the newer), the text, filled up with zeros."""
    text = b"".join(f"{name}={value}".encode() + b"\0" for name, value in variables.items())
    text = text.ljust(SIZE - _HEAD, b"\0")
    if len(text) > SIZE - _HEAD:
        raise ValueError("more variables than there is room for")
    return zlib.crc32(text).to_bytes(4, "little") + bytes([number]) + text


def decode(copy: bytes) -> tuple[int, dict[str, str]] | None:
    """Number and variables of a copy; None where it is not whole."""
    if len(copy) < SIZE:
        return None
    crc, number, text = copy[:4], copy[4], copy[_HEAD:SIZE]
    if zlib.crc32(text) != int.from_bytes(crc, "little"):
        return None
    lines = text.split(b"\0\0", 1)[0].split(b"\0")
    return number, dict(line.decode().split("=", 1) for line in lines if b"=" in line)


def newest(copies: tuple[bytes, bytes]) -> dict[str, str] | None:
    """The variables in force, as boot loader and system choose them; None where no copy is whole."""
    found = [decoded for copy in copies if (decoded := decode(copy)) is not None]
    if len(found) == len(copies):
        first, second = found[0][0], found[1][0]
        later = (first, second) == (255, 0) or (second > first and (first, second) != (0, 255))
        return found[1 if later else 0][1]
    return found[0][1] if found else None

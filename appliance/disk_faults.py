"""Why nothing can be written to a disk, and what to do about it: rights, room, or the disk itself."""

import errno
from typing import Final

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_BROKEN: Final = frozenset({errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO})


def unwritable(error: OSError, rights: str) -> tuple[str, str]:
    """The reason and the remedy; `rights` is the remedy where it is neither full nor broken."""
    told = error.strerror or type(error).__name__
    if error.errno in FULL:
        return told, "make room on the disk"
    if error.errno in _BROKEN:
        remedy = (
            "the card or disk fails, or was pulled (dmesg says more): save what is on it, and put in another"
        )
        return told, remedy
    return told, rights

"""A compressed tar of plain files, read once from front to end within a bound of memory, whatever its headers ask for.

Python's tarfile takes each long name, map of holes and dictionary as large as it is said to be: too trusting for what
is read before a signature is checked. What `pack` makes has two kinds of headers alone: files, and names that are long.
"""

import lzma
import tarfile
from dataclasses import dataclass
from typing import IO, Final

from appliance.errors import ReleaseRefused

DECODER_BYTES: Final = 80 << 20
"""What the decompressor may use: any preset of xz needs less."""
NAME_BYTES: Final = 16 << 10
"""Of the record that holds a long name; Linux knows paths of 4 KiB."""
_FILES: Final = (tarfile.REGTYPE, tarfile.AREGTYPE)
_BLOCK: Final = 512
_PIECE: Final = 1 << 16
_ENCODING: Final = "utf-8"


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the tar; its content follows by `Tape.read`."""

    name: str
    size: int


class Tape:
    """Raise ReleaseRefused for anything but plain files, EOFError and lzma.LZMAError for what is cut off or damaged."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._expander = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_BYTES)
        self._left = self._padding = 0

    def next(self) -> Member | None:
        """The next file; None at the end. What was not read of the one before is passed over."""
        while self._left:
            self.read(_PIECE)
        self._take(self._padding)
        self._padding = 0
        info = self._header()
        name = ""
        if info is not None and info.type == tarfile.XHDTYPE:
            name = self._long_name(info.size)
            info = self._header()
        if info is None:
            return None
        if info.type not in _FILES or info.size < 0:
            raise ReleaseRefused("the release has something that is no plain file")
        self._left, self._padding = info.size, -info.size % _BLOCK
        return Member(name or info.name, info.size)

    def read(self, most: int) -> bytes:
        """Up to so many bytes of the file's content; empty at its end."""
        found = self._take(min(most, self._left))
        self._left -= len(found)
        return found

    def _header(self) -> tarfile.TarInfo | None:
        block = self._take(_BLOCK)
        if not block.strip(b"\0"):
            return None
        try:
            return tarfile.TarInfo.frombuf(block, _ENCODING, "surrogateescape")
        except tarfile.HeaderError as error:
            raise ReleaseRefused("the release is damaged: a file has no header") from error

    def _long_name(self, size: int) -> str:
        if not 0 < size <= NAME_BYTES:
            raise ReleaseRefused("a file of the release has a name longer than any")
        record = self._take(size)
        self._take(-size % _BLOCK)
        length, _, rest = record.partition(b" ")
        key, _, name = rest.removesuffix(b"\n").partition(b"=")
        # One record, of a name: others could give a file another size, or holes.
        if length != b"%d" % size or key != b"path" or b"\n" in name:
            raise ReleaseRefused("the release has something that is no plain file")
        return name.decode(_ENCODING, "surrogateescape")

    def _take(self, count: int) -> bytes:
        """Exactly so many, unpacked. Raise EOFError where there are fewer."""
        pieces: list[bytes] = []
        while count:
            packed = self._file.read(_PIECE) if self._expander.needs_input else b""
            if self._expander.eof or (self._expander.needs_input and not packed):
                raise EOFError("the release is cut off")
            pieces.append(self._expander.decompress(packed, count))
            count -= len(pieces[-1])
        return b"".join(pieces)

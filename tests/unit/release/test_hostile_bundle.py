"""A file that somebody made to harm whoever reads it: refused before its signature is known, and for little memory."""

import binascii
import io
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable

import pytest

from appliance.errors import ReleaseRefused
from provisioning.release.bundle import Bundle, manifest_of, pack
from provisioning.release.signature import trusted_keys
from provisioning.release.tape import NAME_BYTES, Member, Tape
from tests.fakes.releases import MACHINE, PYTHON, new_key, place, tree

KEY = new_key()
LARGE = 24 << 20
MOST = 6 << 20


def header(kind: bytes, size: int, name: str = "manifest.json") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """As POSIX has it: its own length in front."""
    length = len(key) + len(value) + 3
    while len(str(length + len(str(length)))) != len(str(length)):
        length += 1
    told = b"%d %s=%s\n" % (length + len(str(length)), key, value)
    return b"%d %s=%s\n" % (len(told), key, value)


def extended(*records: bytes) -> bytes:
    text = b"".join(records)
    return header(tarfile.XHDTYPE, len(text)) + padded(text)


def holes() -> bytes:
    """A map of holes that says it has more entries than fit any memory, and goes on for as long as it is read."""
    records = [
        record(b"GNU.sparse." + key, value)
        for key, value in ((b"major", b"1"), (b"minor", b"0"), (b"name", b"x"))
    ]
    return extended(*records) + header(tarfile.REGTYPE, LARGE) + b"99999999\n" + b"1\n" * (LARGE // 2)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a long name": lambda: header(tarfile.XHDTYPE, LARGE) + bytes(LARGE),
    "a long name as GNU has it": lambda: header(tarfile.GNUTYPE_LONGNAME, LARGE) + bytes(LARGE),
    "a long link": lambda: header(tarfile.GNUTYPE_LONGLINK, LARGE) + bytes(LARGE),
    "words for all that follows": lambda: header(tarfile.XGLTYPE, LARGE) + bytes(LARGE),
    "a name behind a name, and so on": lambda: extended(record(b"path", b"x" * 200)) * 3000,
    "a map of holes": holes,
    "another size in the name's record": lambda: extended(record(b"size", b"1")) + header(tarfile.REGTYPE, 9),
    "a manifest larger than any": lambda: header(tarfile.REGTYPE, 1 << 40) + bytes(LARGE),
    "less than nothing": lambda: header(tarfile.REGTYPE, -512),
    "a file with holes": lambda: header(tarfile.GNUTYPE_SPARSE, 9) + bytes(LARGE),
    "a link": lambda: header(tarfile.SYMTYPE, 0),
    "noise": lambda: b"\xa5" * 4096,
    "nothing": lambda: b"",
}


@pytest.fixture
def keys(tmp_path):
    return trusted_keys(place(tmp_path, KEY).keys)


@pytest.mark.slow
@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_refused_and_takes_little_memory(tmp_path, keys, what):
    path = tmp_path / "hostile"
    path.write_bytes(lzma.compress(HOSTILE[what](), preset=0))
    tracemalloc.start()
    try:
        with pytest.raises(ReleaseRefused):
            Bundle(path, keys)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def test_a_dictionary_of_a_gigabyte_is_refused(tmp_path, keys):
    packed = bytearray(lzma.compress(header(tarfile.REGTYPE, 9) + bytes(1024), preset=0))
    length = (packed[12] + 1) * 4
    at = packed.index(b"\x21\x01", 12, 12 + length) + 2
    packed[at] = 36  # 2 to the power of 30
    crc = binascii.crc32(packed[12 : 12 + length - 4])
    packed[12 + length - 4 : 12 + length] = crc.to_bytes(4, "little")
    (tmp_path / "hostile").write_bytes(packed)
    with pytest.raises(ReleaseRefused) as refused:
        Bundle(tmp_path / "hostile", keys)
    assert "limit" in str(refused.value.__cause__)


@pytest.mark.slow
def test_what_a_file_has_beyond_its_signed_size_is_not_written(tmp_path, keys):
    """Else it would fill the card before its checksum is known."""
    made = tree(tmp_path / "tree", "well")
    manifest = manifest_of(made, "1", MACHINE, PYTHON)
    (made / "behaviour").write_bytes(b"well" + bytes(LARGE))
    pack(made, manifest, KEY, tmp_path / "longer", preset=0)
    with Bundle(tmp_path / "longer", keys) as opened, pytest.raises(ReleaseRefused, match="damaged"):
        opened.unpack(tmp_path / "out")
    assert not (tmp_path / "out/behaviour").exists()


@pytest.mark.parametrize("name", ["a" * 90, "deep/" * 60 + "file", "größe/☎", "x" * 250])
def test_long_and_foreign_names_come_out_as_they_went_in(tmp_path, keys, name):
    made = tree(tmp_path / "tree", "well")
    (made / name).parent.mkdir(parents=True, exist_ok=True)
    (made / name).write_text("here")
    pack(made, manifest_of(made, "1", MACHINE, PYTHON), KEY, tmp_path / "bundle", preset=0)
    with Bundle(tmp_path / "bundle", keys) as opened:
        opened.unpack(tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "here"


def test_a_file_that_is_not_read_is_passed_over():
    files = (
        header(tarfile.REGTYPE, 700, "one")
        + padded(b"1" * 700)
        + header(tarfile.REGTYPE, 3, "two")
        + padded(b"two")
    )
    tape = Tape(io.BytesIO(lzma.compress(files + bytes(1024), preset=0)))
    assert tape.next() == Member("one", 700)
    assert tape.next() == Member("two", 3)
    assert tape.read(NAME_BYTES) == b"two"
    assert tape.next() is None

import io
import json
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import ReleaseRefused
from provisioning.release.bundle import Bundle, manifest_of, pack
from provisioning.release.manifest import read_manifest
from provisioning.release.signature import sign, trusted_keys
from tests.fakes.releases import MACHINE, PYTHON, bundle, new_key, place, tree

KEY = new_key()


@pytest.fixture
def keys(tmp_path):
    return trusted_keys(place(tmp_path, KEY).keys)


def take(path, keys, into):
    with Bundle(path, keys) as opened:
        opened.unpack(into)


def test_what_comes_out_is_what_went_in(tmp_path, keys):
    take(bundle(tmp_path, "0.2.0", "well", KEY), keys, tmp_path / "out")
    assert (tmp_path / "out/behaviour").read_text() == "well"
    assert (tmp_path / "out/bin/handset").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out/behaviour").stat().st_mode & 0o777 == 0o644


def test_the_same_tree_and_key_make_the_same_file(tmp_path):
    made = tree(tmp_path / "tree", "well")
    manifest = manifest_of(made, "1", MACHINE, PYTHON)
    for name in ("one", "two"):
        pack(made, manifest, KEY, tmp_path / name, preset=0)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_somebody_elses_signature_is_refused(tmp_path, keys):
    with pytest.raises(ReleaseRefused, match="not signed by a key that is trusted"):
        Bundle(bundle(tmp_path, "0.2.0", "well", new_key()), keys)


def test_without_a_key_nothing_is_trusted(tmp_path):
    with pytest.raises(ReleaseRefused, match="no key"):
        Bundle(bundle(tmp_path, "0.2.0", "well", KEY), [])


def rewritten(path, into, change):
    """The bundle with `change(name, content)` applied to each of its files; None leaves a file out."""
    with tarfile.open(path) as before, tarfile.open(into, "w:xz", preset=0) as after:
        for member in before:
            file = before.extractfile(member)
            content = change(member.name, file.read() if file else b"")
            if content is not None:
                member.size = len(content)
                after.addfile(member, io.BytesIO(content))
    return into


@pytest.mark.parametrize(
    "change",
    [
        lambda name, content: content.replace(b"well", b"evil") if name == "behaviour" else content,
        lambda name, content: content + b" " if name == "manifest.json" else content,
        lambda name, content: content.replace(b"0.2.0", b"0.2.1") if name == "manifest.json" else content,
        lambda name, content: None if name == "behaviour" else content,
        lambda name, content: None if name == "manifest.sig" else content,
        lambda name, content: None if name == "manifest.json" else content,
        lambda name, content: b"" if name == "manifest.sig" else content,
    ],
)
def test_whatever_was_changed_after_signing_is_refused(tmp_path, keys, change):
    path = rewritten(bundle(tmp_path, "0.2.0", "well", KEY), tmp_path / "changed", change)
    with pytest.raises(ReleaseRefused):
        take(path, keys, tmp_path / "out")


def test_a_file_that_the_manifest_does_not_name_is_refused(tmp_path, keys):
    path = bundle(tmp_path, "0.2.0", "well", KEY)
    with tarfile.open(path) as before, tarfile.open(tmp_path / "more", "w:xz", preset=0) as after:
        for member in before:
            after.addfile(member, before.extractfile(member))
        link = tarfile.TarInfo("site/evil")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        after.addfile(link)
    with pytest.raises(ReleaseRefused):
        take(tmp_path / "more", keys, tmp_path / "out")
    assert not (tmp_path / "out/site/evil").is_symlink()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_and_never_anything_else(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("damaged")
    keys = trusted_keys(place(directory, KEY).keys)
    path = bundle(directory, "0.2.0", "well", KEY)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[at:]
    path.write_bytes(content)
    try:
        take(path, keys, directory / "out")
    except ReleaseRefused:
        return
    assert (directory / "out/behaviour").read_text() == "well"


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "site/../../evil", "", ".", "site//x", "a\0b"])
def test_a_signed_manifest_may_still_not_name_a_file_outside(name):
    entry = ["0" * 64, 1, True]
    body = {
        "format": 1,
        "product": "handset",
        "version": "1",
        "machine": "x",
        "python": "3",
        "files": {"bin/handset": entry, name: entry},
    }
    with pytest.raises(ReleaseRefused, match="outside"):
        read_manifest(json.dumps(body).encode())


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"format": 2, "product": "handset"}', b"\xff\xfe"])
def test_a_manifest_that_is_none_is_refused(text):
    with pytest.raises(ReleaseRefused):
        read_manifest(text)


@pytest.mark.parametrize("key", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_none_is_named(key):
    with pytest.raises(ReleaseRefused, match="key"):
        sign(b"x", key)

"""A release is packed and signed with keys that openssl makes, as docs/updates.md says."""

import shutil
import subprocess
import sys

import pytest

from provisioning.release.__main__ import main
from provisioning.release.bundle import Bundle
from provisioning.release.signature import trusted_keys
from tests.fakes.releases import MACHINE, PYTHON, new_key, tree

FOR = ["--version", "0.2.0", "--machine", MACHINE, "--python", PYTHON]


@pytest.fixture
def publish(tmp_path, monkeypatch):
    def run(key, version="0.2.0"):
        words = [str(tmp_path / "tree"), str(key), str(tmp_path / "out.tar.xz"), *FOR]
        words[words.index("0.2.0")] = version
        monkeypatch.setattr(sys, "argv", ["release", *words])
        return main()

    tree(tmp_path / "tree", "well")
    return run


@pytest.mark.skipif(shutil.which("openssl") is None, reason="not installed: openssl")
def test_a_key_of_openssl_signs_and_its_public_half_is_trusted(publish, tmp_path, capsys):
    key, public = tmp_path / "release.key", tmp_path / "keys/release.pem"
    public.parent.mkdir()
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True)
    subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public)], check=True)
    assert publish(key) == 0
    assert "version 0.2.0, 3 files" in capsys.readouterr().out
    with Bundle(tmp_path / "out.tar.xz", trusted_keys([public.parent])) as bundle:
        bundle.unpack(tmp_path / "unpacked")
    assert (tmp_path / "unpacked/bin/handset").exists()


def test_a_version_that_is_none_and_a_tree_with_links_are_refused(publish, tmp_path, capsys):
    key = tmp_path / "key"
    key.write_bytes(new_key())
    assert publish(key, "../evil") == 1
    (tmp_path / "tree/site/link").symlink_to("/etc/passwd")
    assert publish(key) == 1
    assert "no plain file" in capsys.readouterr().err


def test_a_key_that_is_no_key_is_named(publish, tmp_path, capsys):
    key = tmp_path / "key"
    key.write_text("secret")
    assert publish(key) == 1
    told = capsys.readouterr().err
    assert "key" in told
    assert "secret" not in told

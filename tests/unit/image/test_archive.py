"""An archive beside Debian's: given by the builder, checked before anything is fetched, and part of the steps' keys."""

import subprocess
from pathlib import Path

import pytest

from image import archive
from image.build import HOOKS, Build, recipe
from image.layers import RecipeFault
from image.signing import signing
from image.steps import keys

CHECKOUT = Path(__file__).parents[3]
NAME = "HANDSET_RPIOS_SOURCES"
SOURCE = """\
# the vendor's
Types: deb
URIs: https://vendor.example/debian/
Suites: {suite}
Components: main
{more}
"""


def source(more: str, suite: str = "trixie") -> str:
    return SOURCE.format(suite=suite, more=more)


@pytest.fixture
def given(tmp_path) -> dict[str, str]:
    """An environment with a source and its keyring."""
    (tmp_path / "vendor.pgp").write_bytes(b"keys")
    (tmp_path / "vendor.sources").write_text(source(f"Signed-By: {tmp_path}/vendor.pgp"))
    return {NAME: str(tmp_path / "vendor.sources")}


def steps(folder: Path, environ: dict[str, str], flavour: str = "rpios") -> dict[str, str]:
    what = recipe(flavour)
    by = signing({}, folder / "keys")
    build = Build(what, CHECKOUT, "0.1.0.1.gabc", 1, by, archive.beside(what.archives, environ))
    return keys(build.steps())


def test_an_archive_that_nobody_named_is_told_with_its_variable():
    with pytest.raises(RecipeFault, match="not set up here") as caught:
        archive.beside(recipe("rpios").archives, {})
    assert f"{NAME}=" in caught.value.hint


def test_debian_needs_none():
    assert archive.beside(recipe("debian").archives, {}) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deb https://vendor.example/debian trixie main\n", "no source of packages"),
        (source("Signed-By: /k\nEnabled: no"), "no source of packages"),
        (source("Signed-By: /k", suite="bookworm"), "Suites are bookworm"),
        (source("Signed-By: /k", suite="trixie bookworm"), "Suites are trixie bookworm"),
        (source(""), "would not be checked"),
        (source("Signed-By: 0123456789ABCDEF0123456789ABCDEF01234567"), "would not be checked"),
        (source("Signed-By: /k\nTrusted: yes"), "would not be checked"),
        (source("Signed-By: /k\nallow-insecure: yes"), "would not be checked"),
        (source("Signed-By: /k") + "\n" + source(""), "would not be checked"),
    ],
)
def test_an_archive_that_could_not_be_relied_on_is_refused_with_its_reason(text, said):
    with pytest.raises(RecipeFault, match=f"{NAME}: .*{said}") as caught:
        archive.keyrings(text, NAME)
    assert caught.value.hint


def test_keys_are_in_a_file_or_in_the_source_itself():
    inside = (
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEaNs\n -----END PGP PUBLIC KEY BLOCK-----"
    )
    assert archive.keyrings(source("Signed-By: /a /b") + "\n \n" + source(inside), NAME) == ["/a", "/b"]


def test_a_keyring_that_is_not_there_is_named(given, tmp_path):
    (tmp_path / "vendor.pgp").unlink()
    with pytest.raises(RecipeFault, match=r"vendor\.pgp"):
        archive.beside([NAME], given)


def test_the_vendors_image_is_planned_without_a_bundle(given, tmp_path):
    names = list(steps(tmp_path, given))
    assert names[-2:] == ["image", "publish"]
    assert "bundle" not in names


@pytest.mark.slow
def test_packages_are_fetched_anew_when_source_or_keyring_changes(given, tmp_path):
    first = steps(tmp_path, given)
    assert steps(tmp_path, given) == first
    (tmp_path / "vendor.pgp").write_bytes(b"other keys")
    second = steps(tmp_path, given)
    text = source(f"Signed-By: {tmp_path}/vendor.pgp").replace("vendor.example", "mirror.example")
    (tmp_path / "vendor.sources").write_text(text)
    third = steps(tmp_path, given)
    assert len({plan["packages"] for plan in (first, second, third)}) == 3
    assert len({plan["publish"] for plan in (first, second, third)}) == 3
    assert {name for name in first if first[name] == second[name]} >= {"tools", "pjsua2", "wheels", "release"}


def test_a_copy_of_the_source_elsewhere_is_the_same_source(given, tmp_path):
    copy = tmp_path / "copy.sources"
    copy.write_text(Path(given[NAME]).read_text())
    assert steps(tmp_path, {NAME: str(copy)}) == steps(tmp_path, given)


def test_debians_image_does_not_depend_on_the_vendors_archive(given, tmp_path):
    assert steps(tmp_path, given, "debian") == steps(tmp_path, {}, "debian")


def test_a_later_suite_is_asked_of_the_same_mirror_and_gives_what_is_named_alone(tmp_path):
    of_ours = archive.entries("http://mirror.example/debian bookworm\n", "bookworm", ())
    entries = archive.with_later(of_ours)
    assert entries[:-1] == of_ours
    assert entries[-1].endswith(f"] http://mirror.example/debian {archive.LATER} main")
    assert "trusted" not in entries[-1]
    (tmp_path / "etc/apt/preferences.d").mkdir(parents=True)
    subprocess.run([HOOKS / "later.sh", tmp_path, archive.LATER, "one", "two"], check=True)
    assert (tmp_path / "etc/apt/preferences.d/later").read_text().split("\n\n") == [
        f"Package: *\nPin: release n={archive.LATER}\nPin-Priority: -1",
        f"Package: one two\nPin: release n={archive.LATER}\nPin-Priority: 500\n",
    ]

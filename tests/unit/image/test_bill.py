"""The bill of materials, and what goes out beside an image."""

import json

from image.bill import Component, collect, debian, distribution, listing, spdx
from image.publication import Package, checksums, imager

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: arm64
Source: glibc (2.41-12)
Version: 2.41-12+deb13u4
Description: the C library
 Version: this line belongs to the description

Package: gone
Status: deinstall ok config-files
Architecture: arm64
Version: 1
"""
METADATA = (
    "Metadata-Version: 2.4\nName: Pydantic_Core\nVersion: 2.50.4\nLicense-Expression: MIT\n\nLong text\n"
)


def test_only_installed_packages_are_listed_with_their_source():
    assert debian(STATUS) == [Component("deb", "libc6", "2.41-12+deb13u4", "arm64", "glibc")]


def test_a_distribution_is_what_its_metadata_says():
    found = distribution(METADATA, "ab")
    assert (found.name, found.version, found.licence, found.sha256) == (
        "Pydantic_Core",
        "2.50.4",
        "MIT",
        "ab",
    )
    assert found.locator == "pkg:pypi/pydantic-core@2.50.4"


def test_a_distribution_is_joined_with_the_digest_of_its_wheel(tmp_path):
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    info = tmp_path / "site" / "pydantic_core-2.50.4.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA)
    wheel = tmp_path / "pydantic_core-2.50.4-cp313-cp313-manylinux2014_aarch64.whl"
    wheel.write_bytes(b"wheel")
    found = collect(tmp_path, tmp_path / "site", [wheel])
    assert [item.kind for item in found] == ["deb", "pypi"]
    assert len(found[1].sha256) == 64


def test_the_same_components_give_the_same_document():
    components = debian(STATUS)
    first = spdx("handset-debian", "1", components, 0)
    assert spdx("handset-debian", "1", components, 0) == first
    document = json.loads(first)
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
    identifiers = [package["SPDXID"] for package in document["packages"]]
    assert len(identifiers) == len(set(identifiers)) == 2
    assert all(relation["relatedSpdxElement"] in identifiers for relation in document["relationships"])


def test_the_listing_has_a_line_for_each():
    assert listing(debian(STATUS)) == "deb\tlibc6\t2.41-12+deb13u4\tarm64\t-\n"


def test_imager_is_told_sizes_digests_and_how_the_image_is_customised():
    text = imager(Package("a.img.zst", 10, "aa", 100, "bb"), "debian", "1", "2026-11-21")
    (entry,) = json.loads(text)["os_list"]
    assert entry["url"] == "a.img.zst"
    assert (entry["image_download_size"], entry["extract_size"]) == (10, 100)
    assert entry["init_format"] == "cloudinit"
    assert "pi5-64bit" not in entry["devices"]


def test_checksums_read_as_sha256sum_wants_them():
    assert checksums({"b": "22", "a": "11"}) == "11  a\n22  b\n"

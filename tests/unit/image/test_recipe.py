"""What build steps are told: package sources, wheels for the image's Python, partitions, switched-on units."""

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from image import application, archive, disk, loader, system, wheels
from image.build import HERE, recipe
from image.layers import RecipeFault

CHECKOUT = Path(__file__).parents[3]
INDEX = """\
https://mirror.example/debian/ bookworm
https://mirror.example/security/ bookworm-security
https://other.example/ nodistro
"""


def test_packages_come_from_the_machines_own_mirrors():
    entries = archive.entries(INDEX, "bookworm", ["non-free-firmware"])
    assert [entry.split("] ")[1] for entry in entries] == [
        "https://mirror.example/debian/ trixie main non-free-firmware",
        "https://mirror.example/security/ trixie-security main non-free-firmware",
    ]


def test_a_machine_without_a_mirror_of_debian_is_told():
    with pytest.raises(RecipeFault, match="no mirror of Debian bookworm"):
        archive.entries("https://other.example/ nodistro\n", "bookworm", [])


LOCK = """\
# by make lock
lgpio==0.2 ; python_version < '3.13' \\
    --hash=sha256:aa
    # via handset
adafruit-lgpio==1 ; platform_machine == 'aarch64' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
pyaudio==0.2.14 \\
    --hash=sha256:dd
numpy==2.4.6 \\
    --hash=sha256:ee
"""


def test_the_lock_is_asked_for_the_image_not_for_this_machine():
    assert wheels.for_target(LOCK).splitlines() == [
        "adafruit-lgpio==1 --hash=sha256:bb --hash=sha256:cc",
        "numpy==2.4.6 --hash=sha256:ee",
    ]


def test_every_locked_package_of_ours_has_hashes():
    lines = wheels.for_target((CHECKOUT / "requirements.txt").read_text()).splitlines()
    assert len(lines) > 20
    assert all("--hash=sha256:" in line for line in lines)


def test_a_wheels_packages_are_unpacked_and_its_programs_are_not(tmp_path):
    wheel = tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("a/__init__.py", "")
        file.writestr("a-1.data/purelib/b.py", "")
        file.writestr("a-1.data/scripts/run", "")
        file.writestr("../outside.py", "")
    application.unpack_wheel(wheel, tmp_path / "site")
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.py"))
    assert found == ["site/a/__init__.py", "site/b.py"]
    assert not (tmp_path.parent / "outside.py").exists()


def test_partitions_follow_each_other_from_a_whole_mebibyte():
    starts = disk.offsets(disk.LAYOUT)
    assert starts[0] == disk.FIRST
    ends = [start + partition.size for start, partition in zip(starts, disk.LAYOUT, strict=True)]
    assert starts[1:] == ends[:-1]
    assert ends[-1] == disk.size(disk.LAYOUT)


def test_the_data_partition_is_the_last_one_so_that_it_can_grow():
    assert disk.LAYOUT[-1].name == "data"


def test_both_systems_have_the_same_room():
    sizes = {partition.name: partition.size for partition in disk.LAYOUT}
    assert sizes["root-a"] == sizes["root-b"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("sfdisk"), reason="not installed: sfdisk")
def test_sfdisk_makes_the_table_with_our_id(tmp_path):
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(disk.size(disk.LAYOUT) * disk.MIB)
    subprocess.run(["sfdisk", "--quiet", str(image)], input=disk.table(disk.LAYOUT), text=True, check=True)
    dump = subprocess.run(["sfdisk", "--dump", str(image)], capture_output=True, text=True, check=True).stdout
    assert f"label-id: 0x{disk.LABEL}" in dump
    assert len(re.findall(r"(?m)^\S+\d : start=", dump)) == 4


def test_only_the_named_units_are_on():
    ours = (CHECKOUT / "systemd" / "80-handset.preset").read_text()
    lines = system.preset(recipe("debian"), ours).splitlines()
    assert {"enable handset.service", "enable handset-firstboot.service", "enable ssh.service"} <= set(lines)
    assert set(ours.splitlines()) <= set(lines)
    assert lines[-1] == "disable *"


def test_the_boot_files_name_the_root_that_the_table_makes():
    words = (HERE / "overlay" / "kernel-rpios" / "boot" / "cmdline.txt").read_text()
    assert f"root=PARTUUID={disk.LABEL}-02 " in words
    script = loader.SCRIPT.read_text()
    assert f"root=PARTUUID={disk.LABEL}-0${{part}} rauc.slot=${{slot}}" in script
    for flavour in ("debian", "rpios"):
        words = (HERE / "overlay" / f"kernel-{flavour}" / "boot" / "cmdline.txt").read_text()
        assert " ro " in words
        assert words.count("\n") == 1


def test_the_initramfs_looks_for_the_data_where_the_table_puts_it():
    scripts = HERE / "overlay" / "base" / "etc" / "initramfs-tools" / "scripts"
    for path in (scripts / "local-premount" / "handset", scripts / "local-bottom" / "handset"):
        assert f"{disk.LABEL}-04" in path.read_text()
        subprocess.run(["sh", "-n", str(path)], check=True)


def test_no_package_archive_has_its_address_in_the_recipe():
    texts = [
        path.read_text()
        for path in HERE.rglob("*")
        if path.is_file() and path.suffix in {".py", ".toml", ".sh"}
    ]
    assert not [text for text in texts if re.search(r"https?://", text)]

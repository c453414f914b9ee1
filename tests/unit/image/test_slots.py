"""Boot loader, RAUC and running system agree on slots, partitions and variables; who signs is said or made."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from image import bundle, compare, disk, environment, firmware, loader
from image.build import HERE
from image.compare import File
from image.layers import RecipeFault
from image.release import require_clean
from image.signing import signing
from provisioning.release.signature import trusted_keys

OVERLAY = HERE / "overlay" / "update"
FIRST = {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "0"}


def test_variables_come_back_as_they_were_written():
    copy = environment.encode(FIRST, 7)
    assert len(copy) == environment.SIZE
    assert environment.decode(copy) == (7, FIRST)


def test_a_copy_that_a_power_cut_left_half_is_none():
    copy = environment.encode(FIRST, 7)
    assert environment.decode(copy[:5] + b"X" + copy[6:]) is None
    assert environment.decode(copy[:100]) is None
    assert environment.decode(bytes(environment.SIZE)) is None


@pytest.mark.parametrize(
    ("numbers", "newest"), [((1, 2), 1), ((2, 1), 0), ((255, 0), 1), ((0, 255), 0), ((3, 3), 0)]
)
def test_the_copy_with_the_later_number_is_in_force(numbers, newest):
    copies = [environment.encode({"BOOT_ORDER": str(place)}, number) for place, number in enumerate(numbers)]
    assert environment.newest((copies[0], copies[1])) == {"BOOT_ORDER": str(newest)}


def test_one_whole_copy_is_enough_and_none_is_told():
    copy = environment.encode(FIRST, 1)
    assert environment.newest((b"", copy)) == FIRST
    assert environment.newest((copy, bytes(environment.SIZE))) == FIRST
    assert environment.newest((b"", b"")) is None


def test_the_variables_lie_in_the_gap_where_everybody_looks_for_them(tmp_path):
    ends = [place + environment.SIZE for place in environment.COPIES]
    assert ends[0] <= environment.COPIES[1]
    assert ends[1] <= disk.FIRST * disk.MIB
    script = loader.SCRIPT.read_text()
    for place in environment.COPIES:
        assert re.search(rf"read \$\{{copy_.\}} 0x{place // disk.SECTOR:x} 0x20\b", script)
    lines = [
        line.split() for line in (OVERLAY / "etc/fw_env.config").read_text().splitlines() if line[0] == "/"
    ]
    assert [(int(place, 16), int(size, 16)) for _, place, size in lines] == [
        (place, environment.SIZE) for place in environment.COPIES
    ]
    card = tmp_path / "card"
    card.write_bytes(bytes(2 << 20))
    loader.write_variables(card)
    assert loader.read_variables(card) == FIRST


def test_rauc_knows_the_slots_that_the_boot_loader_starts():
    system = configparser.ConfigParser()
    system.read(OVERLAY / "etc/rauc/system.conf")
    names = [partition.name for partition in disk.LAYOUT]
    for section, name, boot in (("slot.rootfs.0", "root-a", "A"), ("slot.rootfs.1", "root-b", "B")):
        number = names.index(name) + 1
        assert system[section]["device"] == f"/dev/disk/by-partuuid/{disk.LABEL}-0{number}"
        assert system[section]["bootname"] == boot
    assert system["system"]["compatible"] == bundle.COMPATIBLE
    for handler in system["handlers"].values():
        program = OVERLAY / handler.lstrip("/")
        assert program.stat().st_mode & 0o100
        subprocess.run(["sh", "-n", str(program)], check=True)


def test_development_keys_are_made_once_and_are_their_owners(tmp_path):
    first, again = signing({}, tmp_path / "keys"), signing({}, tmp_path / "keys")
    assert first.development
    assert first.public == again.public
    assert Path(first.key).stat().st_mode & 0o077 == 0
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", first.authority, first.certificate],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted/release.pem").write_bytes(first.public)
    assert len(trusted_keys([tmp_path / "trusted"])) == 1


def test_the_vendors_keys_are_named_by_variables(tmp_path):
    made = signing({}, tmp_path / "keys")
    named = {
        "HANDSET_BUNDLE_KEY": "pkcs11:token=vendor",
        "HANDSET_BUNDLE_CERTIFICATE": str(made.certificate),
        "HANDSET_BUNDLE_AUTHORITY": str(made.authority),
        "HANDSET_RELEASE_KEY": str(made.release),
    }
    found = signing(named, tmp_path / "other")
    assert (found.key, found.development) == ("pkcs11:token=vendor", False)
    assert not (tmp_path / "other").exists()
    with pytest.raises(RecipeFault, match="belong together"):
        signing({"HANDSET_BUNDLE_KEY": "x"}, tmp_path / "other")
    with pytest.raises(RecipeFault, match="no file"):
        signing({"HANDSET_RELEASE_KEY": "/nowhere"}, tmp_path / "other")


def test_a_release_is_made_from_a_commit():
    require_clean("0.1.0.7.g0a1b2c3")
    with pytest.raises(RecipeFault, match="not committed"):
        require_clean("0.1.0.7.g0a1b2c3+")


def test_a_comparison_names_each_file_that_differs_and_in_what():
    one = {"same": File("1", "0:0", "x"), "mode": File("1", "0:0", "x"), "gone": File("1", "0:0", "x")}
    two = {"same": File("1", "0:0", "x"), "mode": File("2", "0:0", "x"), "new": File("1", "0:0", "x")}
    assert list(compare.between(one, two)) == ["only in A: gone", "mode: mode", "only in B: new"]


ROOT = {
    "boot/vmlinuz-6.12": "kernel",
    "boot/initrd.img-6.12": "initramfs",
    "boot/config-6.12": "y",
    "boot/config.txt": "kernel=u-boot.bin",
    "boot/cmdline.txt": "ro",
    "lib/modules/6.12/modules.dep": "",
    "usr/lib/raspi-firmware/start4.elf": "f",
    "usr/lib/linux-image-6.12/broadcom/bcm2711-rpi-4-b.dtb": "d",
    "usr/lib/u-boot/rpi_arm64/u-boot.bin": "u",
    "usr/lib/u-boot/rpi_3/u-boot.bin": "other",
}
"""What packages leave in a root, of what a slot is started with."""


def unpacked(folder: Path) -> tuple[Path, Path]:
    """That root, and an empty boot partition beside it."""
    for name, content in ROOT.items():
        path = folder / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "boot").mkdir()
    return folder / "root", folder / "boot"


@pytest.mark.skipif(
    not (shutil.which("mkimage") and shutil.which("dtc")),
    reason="not installed: mkimage (u-boot-tools), dtc (device-tree-compiler)",
)
def test_each_slot_keeps_its_kernel_and_the_firmware_gets_the_boot_loader(tmp_path):
    root, boot = unpacked(tmp_path)
    firmware.starts_loader(root, boot)
    loader.install(root, boot, 1_700_000_000, tmp_path / "log")
    assert sorted(path.name for path in (root / "boot").iterdir()) == ["initrd.img", "vmlinuz"]
    assert (root / "boot/vmlinuz").read_text() == "kernel"
    assert sorted(path.name for path in boot.iterdir()) == [
        "bcm2711-rpi-4-b.dtb", "boot.scr", "cmdline.txt", "config.txt", "overlays", "start4.elf", "u-boot.bin",
    ]  # fmt: skip
    assert not (root / "usr/lib/u-boot").exists()
    assert [path.name for path in (boot / "overlays").iterdir()] == ["bootdelay.dtbo"]
    first = (boot / "boot.scr").read_bytes()
    loader.compile_script(boot / "boot.scr", 1_700_000_000, tmp_path / "log")
    assert (boot / "boot.scr").read_bytes() == first


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("boot/vmlinuz-6.12", "no /boot/vmlinuz-6.12"),
        ("boot/initrd.img-6.12", "no /boot/initrd.img-6.12"),
        ("usr/lib/linux-image-6.12/broadcom/bcm2711-rpi-4-b.dtb", "no device trees"),
    ],
)
def test_a_root_that_lacks_what_a_slot_is_started_with_makes_no_image(tmp_path, gone, said):
    root, boot = unpacked(tmp_path)
    (root / gone).unlink()
    with pytest.raises(RecipeFault, match=said):
        firmware.starts_loader(root, boot)

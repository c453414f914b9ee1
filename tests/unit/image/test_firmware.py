"""The boot partition of the vendor's flavour: both kernels under the names that the firmware looks for."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from image import disk, firmware, system
from image.build import HERE
from image.layers import RecipeFault

V8, PI5 = "6.12.47+rpt-rpi-v8", "6.12.47+rpt-rpi-2712"
OVERLAY = HERE / "overlay" / "kernel-rpios"

needs_mtools = pytest.mark.skipif(
    not (shutil.which("mcopy") and shutil.which("mkfs.vfat")), reason="not installed: mtools, dosfstools"
)


def put(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root as the vendor's packages leave it, their own boot folder included."""
    tree = tmp_path / "root"
    for release in (V8, PI5):
        shipped = f"usr/lib/linux-image-{release}"
        put(
            tree,
            {
                f"boot/vmlinuz-{release}": f"kernel {release}",
                f"boot/initrd.img-{release}": f"initramfs {release}",
                f"boot/config-{release}": "y",
                f"lib/modules/{release}/modules.dep": "",
                f"{shipped}/broadcom/bcm2710-rpi-zero-2-w.dtb": "d",
                f"{shipped}/broadcom/bcm2712-rpi-5-b.dtb": "d",
                f"{shipped}/overlays/googlevoicehat-soundcard.dtbo": "o",
                f"{shipped}/overlays/overlay_map.dtb": "m",
                f"{shipped}/overlays/README": "r",
            },
        )
    own = ("bootcode.bin", "start4.elf", "fixup4.dat")
    put(tree, {f"usr/lib/raspi-firmware/{name}": "f" for name in own})
    put(tree, {"boot/firmware/kernel8.img": "a hook's", "boot/firmware/config.txt": "a hook's"})
    shutil.copytree(OVERLAY, tree, dirs_exist_ok=True)
    return tree


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    folder = tmp_path / "boot"
    folder.mkdir()
    return folder


@needs_mtools
def test_the_boot_partition_has_what_the_firmware_starts_on_every_board(root, boot, tmp_path):
    firmware.starts_kernels(root, boot)
    part = tmp_path / "part"
    with part.open("wb") as file:
        file.truncate(40 * disk.MIB)
    disk.fill_boot(boot, part, {"SOURCE_DATE_EPOCH": "1700000000", "TZ": "UTC"}, tmp_path / "log")
    listed = subprocess.run(
        ["mdir", "-/", "-b", "-i", part, "::/"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert sorted(line.removeprefix("::/") for line in listed if not line.endswith("/")) == [
        "bcm2710-rpi-zero-2-w.dtb", "bcm2712-rpi-5-b.dtb", "bootcode.bin", "cmdline.txt", "config.txt", "fixup4.dat",
        "initramfs8", "initramfs_2712", "kernel8.img", "kernel_2712.img",
        "overlays/README", "overlays/googlevoicehat-soundcard.dtbo", "overlays/overlay_map.dtb", "start4.elf",
    ]  # fmt: skip
    for name, content in {
        "kernel8.img": f"kernel {V8}",
        "initramfs8": f"initramfs {V8}",
        "kernel_2712.img": f"kernel {PI5}",
        "initramfs_2712": f"initramfs {PI5}",
        "config.txt": (OVERLAY / "boot/config.txt").read_text(),
        "cmdline.txt": (OVERLAY / "boot/cmdline.txt").read_text(),
    }.items():
        typed = subprocess.run(["mtype", "-i", part, f"::/{name}"], check=True, capture_output=True)
        assert typed.stdout.decode() == content


def test_the_root_keeps_the_modules_and_nothing_that_lies_on_the_boot_partition(root, boot):
    firmware.starts_kernels(root, boot)
    assert list((root / "boot").iterdir()) == []
    assert list((root / "usr/lib").iterdir()) == []
    assert sorted(path.name for path in (root / "lib/modules").iterdir()) == sorted([V8, PI5])


@pytest.mark.parametrize(
    ("releases", "said"),
    [
        ([V8], "a kernel for each of v8, 2712"),
        ([V8, PI5, "6.12.34+rpt-rpi-v8"], "a kernel for each of v8, 2712"),
        ([V8, "6.12.47+rpt-rpi-v8-rt"], "a kernel for each of v8, 2712"),
        (["6.12.34+rpt-rpi-v8", PI5], "of one version"),
    ],
)
def test_kernels_that_do_not_belong_together_are_refused(releases, said):
    with pytest.raises(RecipeFault, match=said):
        firmware.kernels(releases)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (f"boot/initrd.img-{PI5}", "no /boot/initrd.img-.*2712"),
        (f"boot/vmlinuz-{V8}", "no /boot/vmlinuz-.*v8"),
        (f"usr/lib/linux-image-{V8}/broadcom", "no device trees"),
        (f"usr/lib/linux-image-{PI5}/overlays", "no overlays"),
        ("usr/lib/raspi-firmware", "no /usr/lib/raspi-firmware"),
    ],
)
def test_a_package_that_is_laid_out_otherwise_is_told(root, boot, gone, said):
    path = root / gone
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(RecipeFault, match=said) as caught:
        firmware.starts_kernels(root, boot)
    assert "image/firmware.py" in caught.value.hint


def test_the_vendors_firmware_is_told_nothing_of_a_boot_loader():
    lines = (OVERLAY / "boot/config.txt").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert settings["auto_initramfs"] == "1"
    assert not {"kernel", "initramfs", "os_prefix", "upstream_kernel"} & set(settings)
    assert all(re.fullmatch(r"(#.*|[a-z0-9_]+=\S+)", line) for line in lines)
    assert "rauc.slot" not in (OVERLAY / "boot/cmdline.txt").read_text()


def test_no_archives_address_is_left_in_the_root(tmp_path):
    kept = {"etc/apt/apt.conf.d/70debconf": "x"}
    left = {"etc/apt/sources.list": "a", "etc/apt/sources.list.d/0001vendor.sources": "b"}
    put(tmp_path, {**kept, **left})
    system.clean(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == list(kept)

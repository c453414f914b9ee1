"""The system tree: Debian's packages, our files over them, units switched on, leftovers taken out."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from image import firmware, loader, trees
from image.application import HOME
from image.layers import Recipe
from image.signing import Signing

PRESETS: Final = ("getty@.service", "remote-fs.target")
LINKS: Final = {
    "/etc/resolv.conf": "/run/NetworkManager/resolv.conf",
    "/etc/localtime": "/data/state/localtime",  # leads nowhere, that is UTC, until a time zone is set
    "/usr/bin/handset": "/opt/handset/current/bin/handset",
    "/var/lib/dbus/machine-id": "/etc/machine-id",
}
EMPTIED: Final = ("/var/log", "/var/cache", "/var/tmp", "/tmp", "/run", "/var/lib/apt/lists")  # noqa: S108
"""Folders that begin empty."""


def preset(recipe: Recipe, ours: str) -> str:
    """What is switched on: the layers' units, those of `ours`, a preset file of Handset's own, and nothing else."""
    named = {line.split()[1] for line in ours.splitlines() if line.startswith("enable ")}
    wanted = sorted({*recipe.enable, *PRESETS, *named})
    return "".join(f"enable {unit}\n" for unit in wanted) + "disable *\n"


def state_list(recipe: Recipe) -> str:
    """The paths of the root that live on the data partition, for the initramfs."""
    return "# Put over the read-only root at every start.\n" + "".join(f"{path}\n" for path in recipe.state)


def identity(os_release: str, facts: Mapping[str, str]) -> str:
    """Debian's os-release, with the image's name and version."""
    return (
        os_release.rstrip("\n") + "".join(f'\n{key}="{value}"' for key, value in sorted(facts.items())) + "\n"
    )


def compose(
    recipe: Recipe,
    tree: Path,
    boot: Path,
    checkout: Path,
    release: Path,
    facts: Mapping[str, str],
    by: Signing,
    epoch: int,
    log: Path,
) -> None:
    """Makes an unpacked root the system's: overlays, units, application, state; then cleans it.

    What the firmware loads goes to `boot`. Releases are believed that `by` signs, and systems where there are two.
    """
    for layer in recipe.layers:
        source = checkout / "image" / "overlay" / layer
        if source.is_dir():
            trees.overlay(source, tree)
    if recipe.two_systems:
        firmware.starts_loader(tree, boot)
        loader.install(tree, boot, epoch, log)
        write(tree, "/etc/rauc/keyring.pem", by.authority.read_text())
    else:
        firmware.starts_kernels(tree, boot)
    write(tree, "/usr/lib/handset/keys/release.pem", by.public.decode())
    units(checkout / "systemd", tree)
    home = tree / HOME.lstrip("/")
    home.parent.mkdir(parents=True, exist_ok=True)
    trees.run(["cp", "-a", release, home], log)
    trees.run(["chown", "-R", "0:0", home], log)
    write(tree, "/usr/lib/handset/state.list", state_list(recipe))
    write(
        tree,
        "/usr/lib/systemd/system-preset/00-handset.preset",
        preset(recipe, (checkout / "systemd" / "80-handset.preset").read_text()),
    )
    release_file = tree / "usr" / "lib" / "os-release"
    release_file.write_text(identity(release_file.read_text(), facts))
    write(tree, "/etc/hostname", "handset\n")
    write(tree, "/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 handset\n")
    for name in ("data", "boot/firmware"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    clean(tree)
    for path, target in LINKS.items():
        link = tree / path.lstrip("/")
        link.unlink(missing_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    trees.run(["systemd-sysusers", f"--root={tree}"], log)
    trees.run(["systemctl", f"--root={tree}", "preset-all"], log)
    for unit in recipe.mask:
        trees.run(["systemctl", f"--root={tree}", "mask", unit], log)
    for path in recipe.state:
        place = tree / path.lstrip("/")
        if not place.exists():
            place.mkdir(parents=True, mode=0o700 if "credstore" in path or "connections" in path else 0o755)
    write(tree, "/etc/machine-id", "uninitialized\n")


def units(source: Path, tree: Path) -> None:
    """Puts `systemd/` of the checkout where systemd and udev look for it."""
    places = {
        "sysusers.d": "usr/lib/sysusers.d",
        "tmpfiles.d": "usr/lib/tmpfiles.d",
        "udev": "usr/lib/udev/rules.d",
    }
    for path in sorted(source.iterdir()) if source.is_dir() else []:
        if path.suffix == ".preset":
            continue  # the image has its own
        target = tree / places.get(path.name, f"usr/lib/systemd/system/{path.name}")
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        elif path.suffix in {".service", ".socket", ".timer", ".target", ".path", ".mount"}:
            shutil.copyfile(path, target)


def clean(tree: Path) -> None:
    """Takes out what the installation left: keys, logs, lists, caches, and who the build machine is."""
    for name in EMPTIED:
        folder = tree / name.lstrip("/")
        for child in folder.iterdir() if folder.is_dir() else []:
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
    (tree / "boot" / "firmware").mkdir(parents=True, exist_ok=True)
    for pattern in (
        "etc/apt/sources.list*",
        "etc/apt/sources.list.d/*",
        "etc/apt/preferences.d/*",
        "etc/ssh/ssh_host_*",
        "etc/*-",
        "var/lib/dpkg/*-old",
        "var/lib/systemd/random-seed",
    ):
        for path in tree.glob(pattern):
            if not path.is_dir():
                path.unlink()


def write(tree: Path, path: str, text: str) -> None:
    """A file of root's, mode 644."""
    target = tree / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.write_text(text)
    target.chmod(0o644)
    os.chown(target, 0, 0)


def certificates(tree: Path, log: Path) -> None:
    """Puts the authorities' certificates where TLS looks for them, by this machine's program, which sees the tree's."""
    script = "set -e; "
    for place in ("/etc/ssl", "/etc/ca-certificates.conf", "/usr/share/ca-certificates"):
        script += f"mount --bind '{tree}{place}' {place}; "
    trees.run(
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            script + "exec update-ca-certificates --fresh --hooksdir /nowhere",
        ],
        log,
    )

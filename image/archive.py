"""Where packages come from: this machine's own package settings, asked at run time. No address is kept anywhere."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from image.layers import RecipeFault

KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITE: Final = "trixie"


def entries(index: str, host_suite: str, components: Sequence[str]) -> list[str]:
    """Sources for `SUITE` and its security updates, from what `apt-get indextargets` says of the host's suite.

    `index` has a line "URI RELEASE" for each index. A `RecipeFault` where no mirror of Debian is in it.
    """
    mirrors: dict[str, str] = {}
    for line in index.splitlines():
        address, _, release = line.strip().rpartition(" ")
        mirrors.setdefault(release, address)
    if host_suite not in mirrors:
        raise RecipeFault(
            f"apt knows no mirror of Debian {host_suite}",
            "the image is built on Debian, with a mirror in /etc/apt",
        )
    sections = " ".join(["main", *components])
    found = [f"deb [signed-by={KEYRING}] {mirrors[host_suite]} {SUITE} {sections}"]
    if security := mirrors.get(f"{host_suite}-security"):
        found.append(f"deb [signed-by={KEYRING}] {security} {SUITE}-security {sections}")
    return found


def sources(components: Sequence[str]) -> list[str]:
    """This machine's mirrors, for `SUITE`."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    index = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    facts = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    return entries(index, facts.get("VERSION_CODENAME", "").strip('"'), components)

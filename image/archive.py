"""Where packages come from: this machine's own package settings, asked at run time. No address is kept anywhere.

An archive beside Debian's is given by the builder: a variable of the environment names apt's own file for it, in
deb822 form, with the keyring that it is checked against in `Signed-By`.
"""

import email.parser
import hashlib
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Final

from image.layers import RecipeFault

KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITE: Final = "trixie"
LATER: Final = "forky"
"""The suite after it, for the few packages that it has not."""
_UNCHECKED: Final = ("Trusted", "Allow-Insecure", "Allow-Weak", "Allow-Downgrade-To-Insecure")
_INLINE: Final = "BEGIN PGP PUBLIC KEY BLOCK"


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive beside Debian's: apt's file for it, and a digest of that and of its keyrings."""

    path: Path
    digest: str


def beside(names: Sequence[str], environ: Mapping[str, str]) -> list[Archive]:
    """The archives that the variables `names` name; a `RecipeFault` for one that is not named, or cannot be used."""
    return [_archive(name, environ.get(name, "")) for name in names]


def _archive(name: str, value: str) -> Archive:
    remedy = f"make image ... {name}=/path/to/NAME.sources, apt's file for it (docs/image.md)"
    if not value:
        raise RecipeFault("this flavour takes packages from an archive that is not set up here", remedy)
    path = Path(value).absolute()
    try:
        text = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(text.encode())
        for keyring in keyrings(text, name):
            digest.update(hashlib.sha256(Path(keyring).read_bytes()).digest())
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeFault(f"{name}: {error}", remedy) from error
    return Archive(path, digest.hexdigest())


def keyrings(text: str, name: str) -> list[str]:
    """Pure: the keyring files that a `.sources` file names. A `RecipeFault` for one that could not be relied on.

    Each source in it has the packages of `SUITE`, signed by keys that the file names or holds. `name` is what the file
    is called in a fault.
    """
    found: list[str] = []
    sources = [source for source in _paragraphs(text) if source.get("Enabled", "yes").strip() != "no"]
    if not any("deb" in source.get("Types", "").split() for source in sources):
        raise RecipeFault(
            f"{name}: no source of packages in it", "deb822 form, with Types: deb (man sources.list)"
        )
    for source in sources:
        suites = source.get("Suites", "").split()
        if SUITE not in suites or not all(suite.split("-")[0] == SUITE for suite in suites):
            raise RecipeFault(
                f"{name}: Suites are {' '.join(suites) or 'missing'}", f"the image is {SUITE}'s"
            )
        signed = source.get("Signed-By", "").strip()
        if any(key in source for key in _UNCHECKED) or not (signed.startswith("/") or _INLINE in signed):
            raise RecipeFault(
                f"{name}: what comes from there would not be checked",
                "Signed-By: with the path of a keyring, or the key itself; no Trusted: or Allow-...:",
            )
        found += signed.split() if signed.startswith("/") else []
    return found


def _paragraphs(text: str) -> list[Message]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    blocks = re.split(r"\n(?:[ \t]*\n)+", "\n".join(lines).strip())
    return [email.parser.Parser().parsestr(block) for block in blocks if block]


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


def with_later(found: Sequence[str]) -> list[str]:
    """Pure: these entries, and `LATER` from the first one's mirror, of any age, as `SUITE` itself may be."""
    mirror = found[0].split()[2]
    return [*found, f"deb [signed-by={KEYRING} check-valid-until=no] {mirror} {LATER} main"]


def sources(components: Sequence[str]) -> list[str]:
    """This machine's mirrors, for `SUITE`."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    index = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    facts = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    return entries(index, facts.get("VERSION_CODENAME", "").strip('"'), components)

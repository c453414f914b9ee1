"""Where releases lie, and which names they may have."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_VERSION: Final = re.compile(r"[0-9][0-9A-Za-z.+-]{0,63}")
PROGRAM: Final = "bin/handset"


@dataclass(frozen=True, slots=True)
class Places:
    """`root` is on storage that lasts; `factory` is the release that came with the system, which no update touches."""

    root: Path = Path("/opt/handset")
    factory: Path = Path("/usr/lib/handset/release")
    keys: tuple[Path, ...] = (Path("/usr/lib/handset/keys"), Path("/etc/handset/release-keys"))

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def current(self) -> Path:
        """A link to the release in force."""
        return self.root / "current"

    @property
    def trial(self) -> Path:
        """There exactly while a release is tried that is not known to be good."""
        return self.root / "trial.json"

    @property
    def report(self) -> Path:
        """What became of the last update."""
        return self.root / "report.json"

    def release(self, version: str) -> Path:
        return self.releases / version

    def part(self, version: str) -> Path:
        """What is being unpacked: no release yet."""
        return self.releases / f".{version}.part"


def is_version(text: str) -> bool:
    """Whether `text` may be a release's version, and so the name of its folder."""
    return bool(_VERSION.fullmatch(text))


def runnable(release: Path) -> bool:
    """Whether there is a whole release: its folder gets its name only when all of it is there."""
    return (release / PROGRAM).is_file()

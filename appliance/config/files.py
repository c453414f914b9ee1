"""Which configuration files there are, in the order in which they are laid: later ones win.

Imports nothing: the client verbs of the command line ask here too, and must start at once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[2]
"""What holds the package `appliance`: the clone of the repository, or where the wheel was installed."""


def standard_files(root: Path = Path("/")) -> Iterator[Path]:
    """Those that are there without --config: of the checkout the code runs from, if any, and of the system.

    A checkout brings its own defaults in checkout.toml, and takes its user's settings from handset.toml beside it, and
    from .state what `handset setup` wrote.
    """
    checkout = root / CHECKOUT.relative_to("/")
    defaults = checkout / "checkout.toml"
    if defaults.exists():
        yield defaults
    yield from sorted((root / "usr/share/handset").glob("*.toml"))
    yield from _existing(root / "etc/handset/handset.toml")
    yield from sorted((root / "etc/handset/conf.d").glob("*.toml"))
    if defaults.exists():
        yield from sorted((checkout / ".state/conf.d").glob("*.toml"))
        yield from _existing(checkout / "handset.toml")


def _existing(path: Path) -> Iterator[Path]:
    if path.exists():
        yield path

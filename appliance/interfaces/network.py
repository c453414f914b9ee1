"""What setting up needs of whatever manages this machine's networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class FoundNetwork:
    """A Wi-Fi network in reach; `signal` 0 to 100."""

    ssid: str
    signal: int
    secured: bool


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """`online`: an interface is connected, other than by the hotspot; `radio`: there is a Wi-Fi device; `known`: there
    are Wi-Fi networks that it may join by itself."""

    online: bool
    radio: bool
    known: bool


class Network(Protocol):
    """All methods block, for seconds; errors are NotPossible, with what the manager said."""

    def status(self) -> NetworkStatus: ...

    def scan(self) -> Sequence[FoundNetwork]:
        """Strongest first, each name once; while a hotspot is open mostly empty."""
        ...

    def open_hotspot(self, ssid: str, password: str) -> str:
        """Open it, for whoever has the password; return our address in it."""
        ...

    def close_hotspot(self) -> None:
        """Close it. Nothing where it is not open; one that could not be closed is tried again at the next call."""
        ...

    def provisioning_server(self) -> str:
        """What the network's DHCP server names for telephones to fetch their settings from (option 66), or ""."""
        ...

    def reload(self) -> None:
        """Take note of connections that were written meanwhile, and try them."""
        ...

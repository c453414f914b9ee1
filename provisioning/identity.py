"""Who this appliance is on its network: a host name of its own, and what mDNS says of it."""

from pathlib import Path, PurePosixPath
from typing import Final
from xml.sax.saxutils import escape

from provisioning.actions import Action, Remove, WriteFile

ANONYMOUS: Final = frozenset({"", "handset", "localhost", "debian", "raspberrypi"})
"""Names that any number of machines have: an appliance so called takes one of its own."""
SERVICE: Final = PurePosixPath("/etc/avahi/services/handset.service")
_FIRST: Final = ("end", "eth", "en", "wlan", "wl")


def hardware_address(root: Path) -> str:
    """That of the first wired interface, else of the first wireless one: twelve small hexadecimal digits, or ""."""
    interfaces = sorted(
        (rank, path.name, path)
        for path in (root / "sys/class/net").glob("*")
        if (rank := _rank(path.name)) is not None and (path / "address").is_file()
    )
    for _, _, path in interfaces:
        address = (
            (path / "address").read_text(encoding="ascii", errors="replace").strip().replace(":", "").lower()
        )
        if len(address) == 12 and address.strip("0"):
            return address
    return ""


def _rank(name: str) -> int | None:
    return next((rank for rank, prefix in enumerate(_FIRST) if name.startswith(prefix)), None)


def own_name(address: str) -> str:
    """`handset-` and the end of the hardware address, by which it is found among many; "" where there is no address."""
    return f"handset-{address[-4:]}" if address else ""


def announcement(*, exposed: bool, port: int, tls: bool, version: str, address: str) -> list[Action]:
    """The service file of avahi: `_handset._tcp` where the control API can be reached from the network at all."""
    if not exposed:
        return [Remove(SERVICE)]
    records = {"version": version, "path": "/v1", "tls": "1" if tls else "0", "id": address}
    texts = "".join(
        f"    <txt-record>{escape(f'{key}={value}')}</txt-record>\n" for key, value in records.items()
    )
    page = f"  <service>\n    <type>_{'https' if tls else 'http'}._tcp</type>\n    <port>{port}</port>\n  </service>\n"
    content = (
        '<?xml version="1.0" standalone="no"?>\n<!DOCTYPE service-group SYSTEM "avahi-service.dtd">\n'
        '<service-group>\n  <name replace-wildcards="yes">Handset on %h</name>\n'
        f"  <service>\n    <type>_handset._tcp</type>\n    <port>{port}</port>\n{texts}  </service>\n"
        f"{page}</service-group>\n"
    )
    return [WriteFile(SERVICE, content)]

"""Where the kiosk page is."""

import socket

from appliance.config.schema import Control


def page_address(control: Control) -> str:
    """The kiosk page as another machine, or a browser here, reaches it."""
    host = control.bind
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared with, not bound to
        host = _own_address()
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if control.tls_certificate else 'http'}://{shown}:{control.port}/"


def _own_address() -> str:
    """The address that other machines see; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()

# SPDX-License-Identifier: GPL-2.0-or-later
"""The sockets for signalling: one for each transport, address family and certificate authority that is needed."""

import errno
import os
from typing import Any, Final

import pjsua2 as pj

from drivers.sip_pjsua2 import report
from drivers.sip_pjsua2.fault import Unusable
from drivers.sip_pjsua2.route import outside
from drivers.sip_pjsua2.settings import AccountSettings, Settings

CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
ANY_ADDRESS: Final = ("", "0.0.0.0", "::")  # noqa: S104  # compared, not bound
_KINDS: Final = {
    "udp": (pj.PJSIP_TRANSPORT_UDP, pj.PJSIP_TRANSPORT_UDP6),
    "tcp": (pj.PJSIP_TRANSPORT_TCP, pj.PJSIP_TRANSPORT_TCP6),
    "tls": (pj.PJSIP_TRANSPORT_TLS, pj.PJSIP_TRANSPORT_TLS6),
}
_Key = tuple[str, bool, str]


class Transports:
    """Main thread only."""

    def __init__(self, library: pj.Endpoint, settings: Settings) -> None:
        self._library = library
        self._settings = settings
        self._open: dict[_Key, int] = {}
        self._local_only = not (
            settings.bind or any(account.server for account in settings.accounts) or outside(settings.allow)
        )

    def of(self, account: AccountSettings, address: str) -> int:
        """The transport of that account, opened where it is not yet; `address` is ours. Raise Unusable."""
        key = (account.transport, ":" in address, account.ca if account.transport == "tls" else "")
        if key not in self._open:
            self._open[key] = self._create(key, address)
        return self._open[key]

    @property
    def address(self) -> str:
        """Where the first of them listens, host:port."""
        return str(self._library.transportGetInfo(next(iter(self._open.values()))).localName)

    def _create(self, key: _Key, address: str) -> int:
        kind, v6, authority = key
        if v6 and pj.AccountConfig().sipConfig.ipv6Use == pj.PJSUA_IPV6_DISABLED:
            hint = "run: make pjsua2, or use IPv4"
            raise Unusable("no_ipv6", "this SIP library has no IPv6", hint, retryable=False)
        settings = self._settings
        config = pj.TransportConfig()
        config.port = self._port(kind)
        config.boundAddress = "" if settings.bind in ANY_ADDRESS else settings.bind
        if self._local_only:
            config.boundAddress = "127.0.0.1"
        config.publicAddress = address
        config.qosParams = dscp(settings.dscp_sip)
        if kind == "tls":
            self._secure(config, authority)
        try:
            return int(self._library.transportCreate(_KINDS[kind][v6], config))
        except pj.Error as error:
            raise _fault(kind, config, error) from error

    def _port(self, kind: str) -> int:
        """The configured one; TLS beside other transports has the next, and a second TLS whichever is free."""
        port = self._settings.port
        if kind != "tls":
            return port
        if any(key[0] == "tls" for key in self._open):
            return 0
        return port + 1 if port and self._settings.accounts[0].transport != "tls" else port

    def _secure(self, config: Any, authority: str) -> None:
        if report.old_openssl() and not self._settings.force_old_tls:
            raise Unusable(
                "old_tls",
                f"TLS is refused: the SIP library brings {report.openssl_version()}, which is out of support",
                "run: make pjsua2 (or set sip.force_old_tls = true on a trusted network)",
                retryable=False,
            )
        if authority and not os.access(authority, os.R_OK):
            raise Unusable("ca_missing", f"{authority} cannot be read", "correct sip.ca", retryable=False)
        config.tlsConfig.verifyServer = True
        config.tlsConfig.CaListFile = authority or os.environ.get("SSL_CERT_FILE", CERTIFICATES)


def dscp(value: int) -> Any:
    """The library's parameters that mark packets so; 0 leaves them alone."""
    params = pj.pj_qos_params()
    params.flags = pj.PJ_QOS_PARAM_HAS_DSCP if value else 0
    params.dscp_val = value
    return params


def _fault(kind: str, config: Any, error: Any) -> Unusable:
    where = f"{kind} {config.boundAddress or 'any address'}:{config.port}"
    # The library's codes for the system's errors are 120000 + errno.
    number = error.status - 120_000
    if number == errno.EADDRINUSE:
        return Unusable(
            "port_in_use", f"{where} is in use by another program", "stop it, or set another sip.port"
        )
    if number == errno.EADDRNOTAVAIL:
        return Unusable("address_missing", f"{where} is not an address of this machine", "correct sip.bind")
    return Unusable(
        "transport_failed",
        f"{where} cannot be opened: {error.reason}",
        "check sip.bind, sip.port, sip.transport",
    )

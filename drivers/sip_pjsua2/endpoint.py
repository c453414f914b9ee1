# SPDX-License-Identifier: GPL-2.0-or-later
"""The library's life: set-up, one turn of its event loop, and shut-down, each in the one order that works."""

import errno
import gc
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import pjsua2 as pj

from drivers.sip_pjsua2 import account, report
from drivers.sip_pjsua2.address import split_host
from drivers.sip_pjsua2.port import RATE, Pool, SendAudio
from drivers.sip_pjsua2.route import local_address, name_servers
from drivers.sip_pjsua2.screen import Screen
from drivers.sip_pjsua2.settings import Settings
from drivers.sip_pjsua2.sieve import Sieve
from drivers.sip_pjsua2.switchboard import Switchboard

logger = logging.getLogger(__name__)

SPARE: Final = 2
CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
_TRANSPORTS: Final = {
    "udp": pj.PJSIP_TRANSPORT_UDP,
    "tcp": pj.PJSIP_TRANSPORT_TCP,
    "tls": pj.PJSIP_TRANSPORT_TLS,
}
_HANG_UP_WAIT: Final = 1.5
_UNREGISTER_WAIT: Final = 1.0


class Unusable(Exception):
    """The telephone cannot run like this; `code` is stable, `retryable` when waiting may help."""

    def __init__(self, code: str, message: str, hint: str = "", *, retryable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = retryable


class Endpoint:
    """Everything that the library owns. Main thread only, but for `pool`'s ports."""

    def __init__(
        self, settings: Settings, send: Callable[[Mapping[str, Any]], None], send_audio: SendAudio
    ) -> None:
        self._settings = settings
        self._send = send
        self._library = pj.Endpoint()
        self._library.libCreate()
        self._library.libInit(_library_settings(settings))
        self._library.audDevManager().setNullDev()
        self.screen = Screen(self._dialogues)
        self._sieve = self._put_sieve() if settings.strangers == "silent" else None
        self.pool = Pool(settings.max_calls + SPARE, send_audio)
        self.board = Switchboard(settings, self.pool, send)
        self._host = _local(settings)
        self._name_servers = name_servers()
        self._transport = self._open_transport()
        self._library.libStart()
        self._choose_codecs()
        self._account = account.Account(settings, send, self.board.incoming)
        try:
            self._account.open(self._host)
        except pj.Error as error:
            hint = "check sip.server, sip.user and sip.outbound_proxy"
            raise Unusable(
                "account_invalid", f"the SIP account is not usable: {error.reason}", hint
            ) from error
        self.board.account = self._account

    @property
    def screening(self) -> bool:
        """Whether strangers get no answer."""
        return self._sieve is not None and not self._sieve.blind

    @property
    def address(self) -> str:
        return str(self._library.transportGetInfo(self._transport).localName)

    def _dialogues(self) -> set[str]:
        """The board is made after the first request could come."""
        return self.board.dialogues()

    def _put_sieve(self) -> Sieve | None:
        try:
            return Sieve(self.screen.ignores)
        except OSError as error:
            logger.warning("strangers are refused, not ignored: %s", error)
            return None

    def register(self) -> None:
        self._account.register()

    def turn(self, milliseconds: int) -> None:
        """Let the library work."""
        self._library.libHandleEvents(milliseconds)

    def tick(self, now: float) -> None:
        """Twice a second."""
        self._account.tick()
        self.board.tick(now)

    def moved(self) -> bool:
        """Our address, or who resolves names, is no longer what it was, and nobody is cut off by starting again."""
        if not self._settings.server or not self.board.empty():
            return False
        return _local(self._settings) != self._host or name_servers() != self._name_servers

    def close(self) -> None:
        """Hang up, unregister, destroy; about two seconds."""
        self.board.hang_up_all()
        self._wait(self.board.empty, _HANG_UP_WAIT)
        self.board.clear()
        self._wait(lambda: False, 0.3)
        self.pool.clear()
        self._account.unregister()
        self._wait(lambda: self._account.unregistered, _UNREGISTER_WAIT)
        self._account.shutdown()
        del self._account
        gc.collect()
        self._library.libDestroy()

    def _wait(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done() and time.monotonic() < deadline:
            self.turn(10)
            self.board.bury()

    def _open_transport(self) -> Any:
        settings = self._settings
        if settings.transport == "tls" and report.old_openssl() and not settings.force_old_tls:
            raise Unusable(
                "old_tls",
                f"TLS is refused: the SIP library brings {report.openssl_version()}, which is out of support",
                "run: make pjsua2 (or set sip.force_old_tls = true on a trusted network)",
                retryable=False,
            )
        config = pj.TransportConfig()
        config.port = settings.port
        config.boundAddress = "" if settings.bind in ("0.0.0.0", "::") else settings.bind  # noqa: S104  # compared, not bound
        if not settings.server and not settings.bind:
            config.boundAddress = "127.0.0.1"
        config.publicAddress = self._host
        if settings.transport == "tls":
            config.tlsConfig.verifyServer = True
            config.tlsConfig.CaListFile = os.environ.get("SSL_CERT_FILE", CERTIFICATES)
        try:
            return self._library.transportCreate(_TRANSPORTS[settings.transport], config)
        except pj.Error as error:
            raise self._transport_fault(config, error) from error

    def _transport_fault(self, config: Any, error: Any) -> Unusable:
        where = f"{self._settings.transport} {config.boundAddress or 'any address'}:{config.port}"
        # The library's codes for the system's errors are 120000 + errno.
        number = error.status - 120_000
        if number == errno.EADDRINUSE:
            return Unusable(
                "port_in_use", f"{where} is in use by another program", "stop it, or set another sip.port"
            )
        if number == errno.EADDRNOTAVAIL:
            return Unusable(
                "address_missing", f"{where} is not an address of this machine", "correct sip.bind"
            )
        return Unusable(
            "transport_failed",
            f"{where} cannot be opened: {error.reason}",
            "check sip.bind, sip.port, sip.transport",
        )

    def _choose_codecs(self) -> None:
        wanted = [name.lower() for name in self._settings.codecs]
        known = [str(codec.codecId) for codec in self._library.codecEnum2()]
        chosen = []
        for codec in known:
            name = codec.split("/", 1)[0].lower()
            priority = 250 - wanted.index(name) if name in wanted else 0
            self._library.codecSetPriority(codec, priority)
            if priority:
                chosen.append((-priority, codec))
        if not chosen:
            raise Unusable(
                "no_codec",
                "none of sip.codecs is in the SIP library",
                f"it has {', '.join(known)}",
                retryable=False,
            )
        logger.info("codecs: %s", ", ".join(codec for _, codec in sorted(chosen)))


def _local(settings: Settings) -> str:
    if settings.bind and settings.bind not in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        return settings.bind
    if not settings.server:
        return "127.0.0.1"
    server = settings.outbound_proxy[0] if settings.outbound_proxy else settings.server
    return local_address(split_host(server)[0]) or "127.0.0.1"


def _library_settings(settings: Settings) -> pj.EpConfig:
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    # Above the calls in progress: those that Handset itself refuses, and legs that are still ending.
    config.uaConfig.maxCalls = settings.max_calls + SPARE
    config.uaConfig.userAgent = settings.user_agent
    for server in settings.stun:
        config.uaConfig.stunServer.append(server)
    config.uaConfig.stunIgnoreFailure = True
    for server in name_servers():
        config.uaConfig.nameserver.append(server)
    config.logConfig.level = 1
    config.logConfig.consoleLevel = 1
    config.logConfig.msgLogging = 0
    media = config.medConfig
    media.clockRate = RATE
    media.sndClockRate = RATE
    media.ptime = 20
    media.audioFramePtime = 20
    media.noVad = True
    media.ecTailLen = 0
    media.jbMax = 200
    media.quality = 4
    media.threadCnt = 1
    return config

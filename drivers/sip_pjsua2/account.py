# SPDX-License-Identifier: GPL-2.0-or-later
"""The one account: who we are, how we register, and where incoming calls enter."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import pjsua2 as pj

from drivers.sip_pjsua2 import registration
from drivers.sip_pjsua2.address import split_host
from drivers.sip_pjsua2.route import Lookup, known_here_only
from drivers.sip_pjsua2.settings import Settings

logger = logging.getLogger(__name__)

SESSION_EXPIRES: Final = 600
LOOK_AGAIN: Final = 5.0
UNREGISTER_WAIT_MS: Final = 800
_SRTP: Final = {
    "off": pj.PJMEDIA_SRTP_DISABLED,
    "optional": pj.PJMEDIA_SRTP_OPTIONAL,
    "mandatory": pj.PJMEDIA_SRTP_MANDATORY,
}

Send = Callable[[Mapping[str, Any]], None]


def configuration(settings: Settings, address: str, route: str = "") -> pj.AccountConfig:
    """The library's account settings.

    `address` is the local address that peers reach us at; `route` the server's, where the library cannot find it.
    """
    config = pj.AccountConfig()
    transport = "" if settings.transport == "udp" else f";transport={settings.transport}"
    if settings.server:
        name = settings.display_name.replace("\\", "\\\\").replace('"', '\\"')
        config.idUri = (
            f'"{name}" <sip:{settings.user}@{settings.server}>'
            if name
            else f"sip:{settings.user}@{settings.server}"
        )
        config.regConfig.registrarUri = f"sip:{settings.server}{transport}"
        config.sipConfig.authCreds.append(
            pj.AuthCredInfo("digest", "*", settings.auth_user or settings.user, 0, settings.password)
        )
    else:
        config.idUri = f"sip:handset@{address}"
    for proxy in settings.outbound_proxy:
        config.sipConfig.proxies.append(f"sip:{proxy};lr{transport}")
    route = route or (settings.server if transport else "")
    if route and not settings.outbound_proxy:
        # Everything goes there, by our one transport, and nobody sees it in a Route header.
        config.sipConfig.proxies.append(f"sip:{route};lr;hide{transport}")
    _set_registration(config.regConfig, settings)
    _set_media(config, settings, address)
    config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_ALWAYS
    config.callConfig.timerSessExpiresSec = SESSION_EXPIRES
    return config


def _set_registration(config: Any, settings: Settings) -> None:
    config.registerOnAdd = False
    config.timeoutSec = settings.expiry
    # registration.py does the retries; the library only refreshes: half-way, so that a lost refresh loses nothing.
    config.retryIntervalSec = 0
    config.firstRetryIntervalSec = 0
    config.delayBeforeRefreshSec = max(5, settings.expiry // 2)
    config.unregWaitMsec = UNREGISTER_WAIT_MS
    config.dropCallsOnFail = False


def _set_media(config: pj.AccountConfig, settings: Settings, address: str) -> None:
    config.mediaConfig.srtpUse = _SRTP[settings.srtp]
    config.mediaConfig.srtpSecureSignaling = 0
    transport = config.mediaConfig.transportConfig
    transport.port = settings.rtp_first
    transport.portRange = settings.rtp_count
    transport.boundAddress = settings.bind
    transport.publicAddress = address
    config.videoConfig.autoShowIncoming = False
    config.videoConfig.autoTransmitOutgoing = False


class Account(pj.Account):  # type: ignore[misc]  # pjsua2 has no types
    """Registers as registration.py says. All methods and callbacks run on the main thread."""

    def __init__(self, settings: Settings, send: Send, on_incoming: Callable[["Account", Any], None]) -> None:
        super().__init__()
        self._settings = settings
        self._send = send
        self._on_incoming = on_incoming
        self._machine = registration.Registration(settings.keep_alive)
        self.unregistered = not settings.server
        self._address = ""
        self._lookup: Lookup | None = None
        self._look_again = 0.0

    def open(self, address: str) -> None:
        """Make the account in the library; `address` is ours."""
        self._address = address
        self.create(configuration(self._settings, address))

    def register(self) -> None:
        """Begin; without a server there is nothing to register at."""
        server = self._settings.server
        if server and not self._settings.outbound_proxy and known_here_only(split_host(server)[0]):
            self._lookup = Lookup(split_host(server)[0])
        elif server:
            self._do(self._machine.start(time.monotonic()))
        else:
            self._send({"type": "registration", "state": "off", "code": 0, "reason": "", "server": ""})

    def tick(self) -> None:
        if self._lookup is not None:
            self._looked_up(self._lookup)
        elif self._settings.server:
            self._do(self._machine.tick(time.monotonic()))

    def _looked_up(self, lookup: Lookup) -> None:
        host, port = split_host(self._settings.server)
        now = time.monotonic()
        if lookup.address:
            self._lookup = None
            route = f"{lookup.address}:{port}" if port else lookup.address
            self.modify(configuration(self._settings, self._address, route))
            self._do(self._machine.start(now))
        elif lookup.address == "":
            self._do(self._machine.unreachable(f"{host} cannot be resolved"))
            lookup.address = None
            self._look_again = now + LOOK_AGAIN
        elif self._look_again and now >= self._look_again:
            self._look_again = 0.0
            self._lookup = Lookup(host)

    def unregister(self) -> None:
        if self._settings.server and self._machine.state is registration.State.REGISTERED:
            try:
                self.setRegistration(False)
            except pj.Error as error:
                logger.info("cannot unregister: %s", error.info())
                self.unregistered = True
        else:
            self.unregistered = True

    def onRegState(self, prm: Any) -> None:
        now = time.monotonic()
        if prm.code // 100 == 2 and prm.expiration == 0:
            self.unregistered = True
        elif prm.code // 100 == 2 and prm.status == 0:
            self._do(self._machine.registered(now))
        else:
            reason = prm.reason or pj.Endpoint.instance().utilStrError(prm.status)
            self._do(self._machine.failed(now, int(prm.code), reason))

    def onSendRequest(self, prm: Any) -> None:
        # Only a response proves life: the library makes up a 408 when its own timer ends.
        code = int(prm.e.body.tsxState.tsx.statusCode)
        if code != 408:
            self._do(self._machine.answered(time.monotonic(), 0))

    def onIncomingCall(self, prm: Any) -> None:
        self._on_incoming(self, prm)

    def _do(self, actions: list[registration.Action]) -> None:
        for action in actions:
            match action:
                case registration.Register():
                    self._register_now()
                case registration.AskAlive():
                    self._ask_alive()
                case registration.Report(state, code, reason):
                    body = {
                        "state": str(state),
                        "code": code,
                        "reason": reason,
                        "server": self._settings.server,
                    }
                    self._send({"type": "registration", **body})

    def _register_now(self) -> None:
        try:
            self.setRegistration(True)
        except pj.Error as error:
            # One under way already goes on; the machine has a deadline of its own.
            logger.info("REGISTER was not sent: %s", error.info())

    def _ask_alive(self) -> None:
        request = pj.SendRequestParam()
        request.method = "OPTIONS"
        transport = "" if self._settings.transport == "udp" else f";transport={self._settings.transport}"
        request.txOption.targetUri = f"sip:{self._settings.server}{transport}"
        try:
            self.sendRequest(request)
        except pj.Error as error:
            logger.info("OPTIONS was not sent: %s", error.info())

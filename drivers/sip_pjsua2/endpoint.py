# SPDX-License-Identifier: GPL-2.0-or-later
"""The library's life: set-up, one turn of its event loop, and shut-down, each in the one order that works."""

import gc
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import pjsua2 as pj

from drivers.sip_pjsua2 import challenge, mailbox, native, offer, tls, within
from drivers.sip_pjsua2.account import Account
from drivers.sip_pjsua2.accounts import Accounts
from drivers.sip_pjsua2.configuration import names_the_library_asks_for
from drivers.sip_pjsua2.fault import Unusable
from drivers.sip_pjsua2.port import RATE, Pool, SendAudio
from drivers.sip_pjsua2.route import is_literal, known_here_only, name_servers, outside
from drivers.sip_pjsua2.screen import Address, Screen
from drivers.sip_pjsua2.settings import AccountSettings, Settings
from drivers.sip_pjsua2.sieve import SILENCE, Sieve
from drivers.sip_pjsua2.switchboard import Switchboard
from drivers.sip_pjsua2.transports import Transports

logger = logging.getLogger(__name__)

SPARE: Final = 2
TLS_FAULT_IS_NEWS: Final = 3.0
_HANG_UP_WAIT: Final = 1.5
_UNREGISTER_WAIT: Final = 1.0


class Library(pj.Endpoint):  # type: ignore[misc]  # pjsua2 has no types
    """The library's own callbacks. `choose` picks the account of a request, by the library's numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.choose: Callable[[int, str], int] = lambda number, _: number
        self.rejected: Callable[[str, int], None] = lambda _, __: None
        """Told of a call that the library refuses before anybody hears of it: who calls, and the code."""
        self._fault = ("", "")
        self._fault_at = float("-inf")

    def onRejectedIncomingCall(self, prm: Any) -> None:
        if int(prm.callId) == pj.PJSUA_INVALID_ID:
            self.rejected(str(prm.remoteInfo), int(prm.statusCode))

    def onSelectAccount(self, prm: Any) -> None:
        prm.accountIndex = self.choose(int(prm.accountIndex), prm.rdata.wholeMsg)

    def onTransportState(self, prm: Any) -> None:
        info = prm.tlsInfo
        if info.isEmpty() or not info.verifyStatus:
            return
        self._fault = tls.fault(int(info.verifyStatus) & 0xFFFF_FFFF, str(info.remoteCertInfo.subjectCn))
        self._fault_at = time.monotonic()

    def tls_fault(self) -> tuple[str, str]:
        """Why a certificate was refused just now, and the remedy; two empty texts when none was."""
        return self._fault if time.monotonic() - self._fault_at < TLS_FAULT_IS_NEWS else ("", "")


class Endpoint:
    """Everything that the library owns. Main thread only, but for `pool`'s ports."""

    def __init__(
        self, settings: Settings, send: Callable[[Mapping[str, Any]], None], send_audio: SendAudio
    ) -> None:
        self._settings = settings
        self._send = send
        self._library = Library()
        self._library.libCreate()
        self._library.libInit(_library_settings(settings))
        self._library.audDevManager().setNullDev()
        self.screen = Screen(self._dialogues)
        self._srtp: Callable[[str], set[str]] = lambda _: set()
        self._mailbox_refused: Callable[[str, str], None] = lambda _, __: None
        self._codecs: frozenset[str] = frozenset()
        self._servers: Callable[[str], set[str] | None] = lambda _: set()
        self._sieve = self._put_sieve()
        native.wait_for_answers(settings.answer_wait)
        self.pool = Pool(settings.max_calls + SPARE, send_audio)
        self.board = Switchboard(settings, self.pool, send)
        self._library.rejected = self.board.rejected
        self._name_servers = name_servers()
        self._transports = Transports(self._library, settings)
        self._library.libStart()
        self._choose_codecs()
        self._accounts = Accounts(
            settings,
            self._transports,
            send,
            self.board.incoming,
            self.board.serves,
            self._library.tls_fault,
        )
        self._moved: set[str] = set()
        self._accounts.on_settled = self._settled
        self._accounts.open()
        self._library.choose = self._accounts.choose
        self._srtp = self._accounts.srtp
        self._mailbox_refused = self._accounts.mailbox_refused
        self._servers = lambda call: self._accounts.servers(self.board.account_of(call))
        self.board.accounts = self._accounts

    @property
    def screening(self) -> bool:
        """Whether strangers get no answer."""
        seeing = self._sieve is not None and not self._sieve.blind
        return seeing and self._settings.strangers == "silent"

    @property
    def address(self) -> str:
        return self._transports.address

    def _dialogues(self) -> set[str]:
        """The board is made after the first request could come."""
        return self.board.dialogues()

    def _put_sieve(self) -> Sieve | None:
        try:
            return Sieve(self._judge, self._reading)
        except OSError as error:
            logger.warning("strangers are refused, not ignored: %s", error)
            return None

    def _judge(self, source: Address, message: bytes) -> int | None:
        """What becomes of a request before the library sees it, as `Sieve` asks."""
        if self._settings.strangers == "silent" and self.screen.ignores(source, message):
            return SILENCE
        code = within.answer(message, self._dialogues)
        if code is not None:
            return code
        why = offer.refusal(message, self._srtp(message.decode("utf-8", "replace")))
        if offer.unspoken(message, self._codecs):
            why = offer.UNSPOKEN
        if not why:
            return None
        self.board.offer_refused(message.decode("utf-8", "replace"), why)
        return int(pj.PJSIP_SC_NOT_ACCEPTABLE_HERE)

    def _reading(self, source: Address, response: bytes) -> int | None:
        """What a response is taken for, as `Sieve` asks."""
        refused = mailbox.refusal(response.decode("utf-8", "replace"))
        if refused is not None:
            self._mailbox_refused(*refused)
        if not challenge.is_strange(response, source, self._servers):
            return None
        self.board.asked_for_password(challenge.call_id(response), str(source))
        return challenge.FORBIDDEN

    def register(self) -> None:
        self._accounts.begin()

    def renew(self, accounts: tuple[AccountSettings, ...]) -> None:
        """Other accounts than so far."""
        self._accounts.renew(accounts)

    def turn(self, milliseconds: int) -> None:
        """Let the library work."""
        self._library.libHandleEvents(milliseconds)

    def tick(self, now: float) -> None:
        """Twice a second."""
        self._accounts.tick(now)
        self.board.tick(now)

    def moved(self) -> bool:
        """Our address, or who resolves names, is no longer what it was, and nobody is cut off by starting again."""
        reached = any(account.settings.server for account in self._accounts) or outside(self._settings.allow)
        if not reached or not self.board.empty():
            return False
        return any(account.moved() for account in self._accounts) or name_servers() != self._name_servers

    def follow(self) -> None:
        """Where an address changed while calls are up, take them along."""
        moved = [account for account in self._accounts if account.moved()]
        if not moved:
            return
        logger.info("our address changed: %d accounts move with their calls", len(moved))
        self._moved.update(account.name for account in moved)
        for account in moved:
            account.move()
        # What was connected from the old address is dead, and nobody would notice for minutes.
        change = pj.IpChangeParam()
        change.restartListener = False
        if any(account.settings.transport != "udp" for account in moved):
            self._library.handleIpChange(change)
        for account in moved:
            if not account.settings.server:
                self._settled(account)

    def _settled(self, account: Account) -> None:
        """An account is registered: where its address is another, its calls may be told of it."""
        if account.name in self._moved:
            self._moved.remove(account.name)
            self.board.relocate(account)

    def close(self) -> None:
        """Hang up, unregister, destroy; about two seconds."""
        self.board.hang_up_all()
        self._wait(self.board.empty, _HANG_UP_WAIT)
        self.board.clear()
        self._wait(lambda: False, 0.3)
        self.pool.clear()
        self._accounts.unregister()
        self._wait(self._accounts.unregistered, _UNREGISTER_WAIT)
        self._accounts.shutdown()
        self._srtp = lambda _: set()
        self._servers = lambda _: set()
        self._mailbox_refused = lambda _, __: None
        del self._accounts
        gc.collect()
        self._library.libDestroy()

    def _wait(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done() and time.monotonic() < deadline:
            self.turn(10)
            self.board.bury()

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
        self._codecs = frozenset(codec.split("/", 1)[0].lower() for _, codec in chosen)
        logger.info("codecs: %s", ", ".join(codec for _, codec in sorted(chosen)))


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
    # With name servers the library does not look into /etc/hosts.
    if not any(known_here_only(host) for host in names_the_library_asks_for(settings)):
        # The library takes addresses only, and asks at the usual port.
        for server in filter(is_literal, settings.dns_servers or name_servers()):
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

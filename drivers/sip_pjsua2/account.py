# SPDX-License-Identifier: GPL-2.0-or-later
"""An account: who we are at a server, how we register, and where incoming calls enter."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pjsua2 as pj

from drivers.sip_pjsua2 import answer, referral, registration
from drivers.sip_pjsua2.address import split_host
from drivers.sip_pjsua2.configuration import configuration
from drivers.sip_pjsua2.probe import Probe
from drivers.sip_pjsua2.route import LOOPBACK, Lookup, Target, is_literal, local_address, outside
from drivers.sip_pjsua2.settings import AccountSettings, Settings
from drivers.sip_pjsua2.transports import ANY_ADDRESS

logger = logging.getLogger(__name__)

LOOK_AGAIN: Final = 5.0
MAX_REDIRECTS: Final = 3

Send = Callable[[Mapping[str, Any]], None]


class Account(pj.Account):  # type: ignore[misc]  # pjsua2 has no types
    """Registers as registration.py says. All methods and callbacks run on the main thread.

    `on_incoming` is told of INVITEs, `on_settled` of each REGISTER that was accepted; `fault` says why TLS failed.
    """

    def __init__(
        self,
        settings: AccountSettings,
        common: Settings,
        send: Send,
        on_incoming: Callable[["Account", Any], None],
        fault: Callable[[], tuple[str, str]],
    ) -> None:
        super().__init__()
        self.settings = settings
        self._common = common
        self._send = send
        self._on_incoming = on_incoming
        self._fault = fault
        self._machine = registration.Registration(common.keep_alive, common.come_back)
        self.retired = False
        self.unregistered = not settings.server
        self.on_settled: Callable[[Account], None] = lambda _: None
        self.address = own_address(settings, common)
        self._transport = pj.PJSUA_INVALID_ID
        self._targets: tuple[Target, ...] = ()
        self._route: Target | None = None
        self._lookup: Lookup | None = None
        self._look_again: float | None = None
        self._redirects = 0
        self._probe: Probe | None = None
        self._no_mailbox = ""
        self._seen: set[str] = set()
        """Where REGISTER was answered from: a server may have more addresses than its name."""

    @property
    def name(self) -> str:
        return self.settings.name

    def trusted(self) -> set[str] | None:
        """The addresses that may ask for its password; None where the library resolves its server's name for itself,
        and nothing has come from there yet."""
        literal = {target.host for target in self._targets if is_literal(target.host)}
        unknown = len(literal) < len({target.host for target in self._targets}) and not self._seen
        return None if unknown else literal | self._seen

    def open(self, transport: int) -> None:
        """Make the account in the library, on that transport."""
        self._transport = transport
        self.create(self._configuration())

    def register(self) -> None:
        """Begin; without a server there is nothing to register at."""
        if not self.settings.server:
            self._tell("off", 0, "")
            return
        self._do(self._machine.trying())
        self._find(self._servers())

    def tick(self) -> None:
        if self._lookup is not None and self._lookup.targets is not None:
            self._looked_up(self._lookup.targets)
        now = time.monotonic()
        if self._look_again is not None and now >= self._look_again:
            self._look_again = None
            self._find(self._servers())
        if self._probe is not None:
            self._look_at(self._probe, now)
        if self.settings.server:
            self._do(self._machine.tick(now))

    def moved(self) -> bool:
        """Whether our address is no longer what it was, and there is one."""
        address = self._address_now()
        return bool(address) and address != self.address

    def move(self) -> None:
        """Take the new address, and tell the registrar."""
        self.address = self._address_now()
        self.modify(self._configuration())
        if self.settings.server and self._targets:
            self._do(self._machine.moved(time.monotonic()))

    def _address_now(self) -> str:
        if self._route is not None and self._common.bind in ANY_ADDRESS and is_literal(self._route.host):
            return local_address(self._route.host)
        return own_address(self.settings, self._common)

    def unregister(self) -> None:
        if self.settings.server and self._machine.state is registration.State.REGISTERED:
            try:
                self.setRegistration(False)
            except pj.Error as error:
                logger.info("cannot unregister: %s", error.info())
                self.unregistered = True
        else:
            self.unregistered = True

    def retire(self, *, unregister: bool) -> None:
        """Report nothing more, and register no more; calls go on."""
        self.retired = True
        if unregister:
            self.unregister()
        else:
            self.unregistered = True

    # --- what the library reports

    def onRegState(self, prm: Any) -> None:
        now = time.monotonic()
        if prm.code // 100 == 2 and prm.expiration == 0:
            self.unregistered = True
        elif prm.code // 100 == 2 and prm.status == 0:
            self._redirects = 0
            self._seen.add(split_host(str(prm.rdata.srcAddress))[0])
            self._do(self._machine.registered(now))
            self.on_settled(self)
        elif prm.code in answer.MOVED and self._follow(answer.moved_to(prm.rdata.wholeMsg)):
            return
        else:
            message = prm.rdata.wholeMsg
            reason = prm.reason or pj.Endpoint.instance().utilStrError(prm.status)
            self._failed(int(prm.code), reason, answer.retry_after(message))

    def onSendRequest(self, prm: Any) -> None:
        # Only a response proves life: the library makes up a 408 when its own timer ends.
        code = int(prm.e.body.tsxState.tsx.statusCode)
        if code != 408:
            self._do(self._machine.answered(time.monotonic(), 0))

    def onMwiInfo(self, prm: Any) -> None:
        told = referral.messages(str(prm.rdata.wholeMsg).partition("\r\n\r\n")[2])
        if told is not None:
            self._no_mailbox = ""
            waiting, new, old = told
            body = {"account": self.name, "waiting": waiting, "new": new, "old": old}
            self._send({"type": "mailbox", **body})

    def mailbox_refused(self, why: str) -> None:
        """Tell it once: the library asks again every few minutes."""
        if why == self._no_mailbox:
            return
        self._no_mailbox = why
        text = f"account {self.name}: {self.settings.server} does not tell of the mailbox: {why}"
        hint = (
            "set sip.mailbox = false, or have message-waiting (SUBSCRIBE message-summary) switched on there"
        )
        self._send(
            {"type": "notice", "call": f"{0:08x}", "code": "mailbox_refused", "text": text, "hint": hint}
        )

    def onIncomingCall(self, prm: Any) -> None:
        self._on_incoming(self, prm)

    # --- inside

    def _failed(self, code: int, reason: str, wait_at_least: float = 0.0) -> None:
        actions = self._machine.failed(time.monotonic(), code, reason, wait_at_least)
        if not any(isinstance(action, registration.Register) for action in actions) and self._has_names():
            # Meanwhile the name may lead elsewhere.
            self._lookup = self._lookup or self._start_lookup(self._servers())
        self._do(actions)

    def _look_at(self, probe: Probe, now: float) -> None:
        lives = probe.answered()
        if lives or probe.over():
            probe.close()
            self._probe = None
        if lives:
            self._do(self._machine.first_lives(now))

    def _servers(self) -> Sequence[str]:
        return self.settings.outbound_proxy or (self.settings.server,)

    def _has_names(self) -> bool:
        hosts = [split_host(server)[0] for server in self._servers()]
        return self._redirects > 0 or not all(is_literal(host) for host in hosts)

    def _find(self, servers: Sequence[str]) -> None:
        if all(is_literal(split_host(server)[0]) for server in servers):
            self._looked_up(tuple(Target(*split_host(server)) for server in servers))
        else:
            self._lookup = self._start_lookup(servers)

    def _start_lookup(self, servers: Sequence[str]) -> Lookup:
        return Lookup(servers, self.settings.transport, self._common.dns_servers)

    def _looked_up(self, targets: tuple[Target, ...]) -> None:
        self._lookup = None
        now = time.monotonic()
        if not targets:
            host = split_host(self._servers()[0])[0]
            self._do(self._machine.unreachable(f"{host} cannot be resolved"))
            self._look_again = now + LOOK_AGAIN
        elif targets != self._targets:
            self._targets = targets
            self._machine.targets = len(targets)
            self._do(self._machine.start(now))

    def _follow(self, server: str) -> bool:
        """Register where a registrar sends us to; false where that leads nowhere."""
        if not server or self._redirects >= MAX_REDIRECTS:
            return False
        self._redirects += 1
        logger.info("%s: the registrar sends us elsewhere", self.name)
        self._find([server])
        return True

    def _do(self, actions: list[registration.Action]) -> None:
        for action in actions:
            match action:
                case registration.Register(target):
                    self._register_at(self._targets[min(target, len(self._targets) - 1)])
                case registration.AskAlive():
                    self._ask_alive()
                case registration.AskFirst():
                    self._probe = Probe(self._targets[0], self.settings.transport)
                case registration.Report(state, code, reason):
                    self._tell(str(state), code, reason)

    def _tell(self, state: str, code: int, reason: str) -> None:
        if self.retired:
            return
        hint = ""
        if state == "failed" and self.settings.transport == "tls":
            told, hint = self._fault()
            reason = told or reason
        body = {
            "account": self.name,
            "state": state,
            "code": code,
            "reason": reason,
            "hint": hint,
            "server": self.settings.server,
            "addresses": sorted({target.host for target in self._targets if is_literal(target.host)}),
        }
        self._send({"type": "registration", **body})

    def _configuration(self) -> pj.AccountConfig:
        return configuration(self.settings, self._common, self.address, self._transport, self._route)

    def _register_at(self, target: Target) -> None:
        try:
            if target != self._route:
                self._route = target
                self.modify(self._configuration())
            self.setRegistration(True)
        except pj.Error as error:
            # One under way already goes on; the machine has a deadline of its own.
            logger.info("REGISTER was not sent: %s", error.info())

    def _ask_alive(self) -> None:
        request = pj.SendRequestParam()
        request.method = "OPTIONS"
        transport = "" if self.settings.transport == "udp" else f";transport={self.settings.transport}"
        request.txOption.targetUri = f"sip:{self.settings.server}{transport}"
        try:
            self.sendRequest(request)
        except pj.Error as error:
            logger.info("OPTIONS was not sent: %s", error.info())


def own_address(settings: AccountSettings, common: Settings) -> str:
    """The address at which that account's peers reach us, "" while there is no network."""
    if common.bind not in ANY_ADDRESS:
        return common.bind
    servers = settings.outbound_proxy or (settings.server,)
    if not settings.server:
        first = next((other.server for other in common.accounts if other.server), "")
        if not first:
            # Until there is a network, calls from this machine find us all the same.
            return local_address(outside(common.allow) or LOOPBACK) or LOOPBACK
        servers = (first,)
    return local_address(split_host(servers[0])[0])

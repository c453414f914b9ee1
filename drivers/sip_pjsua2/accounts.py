# SPDX-License-Identifier: GPL-2.0-or-later
"""All accounts of the SIP process: added, changed and taken out while calls go on; and the one a request is for."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import pjsua2 as pj

from drivers.sip_pjsua2.account import Account, Send, own_address
from drivers.sip_pjsua2.address import split_host
from drivers.sip_pjsua2.configuration import NAMED
from drivers.sip_pjsua2.fault import Unusable
from drivers.sip_pjsua2.settings import AccountSettings, Settings
from drivers.sip_pjsua2.transports import Transports

logger = logging.getLogger(__name__)

OPEN_AGAIN: Final = 10.0
_LINE: Final = re.compile(re.escape(NAMED) + r"([\w-]+)")


class Accounts:
    """Main thread only. `in_use` says whether an account has calls: one that was taken out stays until they end."""

    def __init__(
        self,
        settings: Settings,
        transports: Transports,
        send: Send,
        on_incoming: Callable[[Account, Any], None],
        in_use: Callable[[Account], bool],
        fault: Callable[[], tuple[str, str]],
    ) -> None:
        self._settings = settings
        self._transports = transports
        self._send = send
        self._on_incoming = on_incoming
        self._in_use = in_use
        self._fault = fault
        self._now: dict[str, Account] = {}
        self._retired: list[Account] = []
        self._waiting: dict[str, tuple[float, AccountSettings]] = {}
        self._begun = False
        self.on_settled: Callable[[Account], None] = lambda _: None

    def open(self) -> None:
        """Make all of them. Raise Unusable where the first cannot be: without others it is all there is."""
        for settings in self._settings.accounts:
            self._open(settings, required=settings is self._settings.accounts[0])

    def begin(self) -> None:
        """Register them."""
        self._begun = True
        for account in self._now.values():
            account.register()

    def renew(self, accounts: Iterable[AccountSettings]) -> None:
        """From now on it is these; calls of those that go or change go on until they end."""
        wanted = {settings.name: settings for settings in accounts}
        self._settings = replace(self._settings, accounts=tuple(wanted.values()))
        for name in [name for name in self._now if self._now[name].settings != wanted.get(name)]:
            account = self._now.pop(name)
            account.retire(unregister=not _same_binding(account.settings, wanted.get(name)))
            self._retired.append(account)
        self._waiting = {}
        for name, settings in wanted.items():
            if name not in self._now:
                self._open(settings)

    def tick(self, now: float) -> None:
        """Twice a second."""
        for account in self._now.values():
            account.tick()
        for name, (due, settings) in list(self._waiting.items()):
            if now >= due:
                del self._waiting[name]
                self._open(settings)
        for account in [one for one in self._retired if one.unregistered and not self._in_use(one)]:
            self._retired.remove(account)
            account.shutdown()

    def named(self, name: str) -> Account | None:
        """The account of that name, or without one the first."""
        if name:
            return self._now.get(name)
        return next(iter(self._now.values()), None)

    def choose(self, number: int, message: str) -> int:
        """The library's number of the account that the request `message` is for; it would take `number`."""
        line = _LINE.search(message.split("\r\n", 1)[0])
        if line is not None and line[1] in self._now:
            return int(self._now[line[1]].getId())
        retired = next((account for account in self._retired if account.getId() == number), None)
        instead = self.named(retired.name) or self.named("") if retired is not None else None
        return int(instead.getId()) if instead is not None else number

    def srtp(self, message: str) -> set[str]:
        """What `sip.srtp` may be for the request `message`: of its account, or of all where it names none."""
        line = _LINE.search(message.split("\r\n", 1)[0])
        named = self._now.get(line[1]) if line is not None else None
        return {account.settings.srtp for account in ([named] if named is not None else self._now.values())}

    def mailbox_refused(self, address: str, why: str) -> None:
        """The server of the account with that address does not tell of its mailbox."""
        user, _, host = address.partition(":")[2].partition("@")
        for account in self._now.values():
            # The library leaves the port out.
            if (user, split_host(host)[0]) == (account.settings.user, split_host(account.settings.server)[0]):
                account.mailbox_refused(why)

    def servers(self, account: Account | None) -> set[str] | None:
        """The addresses of that account's servers, without one of all; None where not all of them are known here."""
        found = [one.trusted() for one in ([account] if account is not None else self)]
        return None if None in found else set().union(*(known for known in found if known is not None))

    def __iter__(self) -> Iterator[Account]:
        return iter([*self._now.values(), *self._retired])

    def current(self) -> list[Account]:
        return list(self._now.values())

    def unregister(self) -> None:
        for account in self._now.values():
            account.unregister()

    def unregistered(self) -> bool:
        return all(account.unregistered for account in self)

    def shutdown(self) -> None:
        for account in self:
            account.shutdown()
        self._now.clear()
        self._retired.clear()

    def _open(self, settings: AccountSettings, *, required: bool = False) -> None:
        account = Account(settings, self._settings, self._send, self._on_incoming, self._fault)
        try:
            account.open(self._transports.of(settings, account.address))
        except Unusable as error:
            if required:
                raise
            self._refused(settings, error)
            return
        except pj.Error as error:
            hint = "check sip.server, sip.user and sip.outbound_proxy"
            fault = Unusable("account_invalid", f"the SIP account is not usable: {error.reason}", hint)
            if required:
                raise fault from error
            self._refused(settings, fault)
            return
        account.on_settled = self._settled
        self._now[settings.name] = account
        if self._begun:
            account.register()

    def _settled(self, account: Account) -> None:
        """`on_settled` is set after the accounts are open."""
        self.on_settled(account)

    def _refused(self, settings: AccountSettings, fault: Unusable) -> None:
        logger.warning("account %s: %s", settings.name, fault.message)
        self._waiting[settings.name] = (time.monotonic() + OPEN_AGAIN, settings)
        body = {"account": settings.name, "state": "failed", "code": 0, "server": settings.server}
        self._send(
            {"type": "registration", "reason": fault.message, "hint": fault.hint, "addresses": [], **body}
        )


def _same_binding(old: AccountSettings, new: AccountSettings | None) -> bool:
    """Whether registering `new` overwrites what the registrar knows of `old`: taking that out would take out both."""
    same = ("server", "user", "transport")
    return new is not None and all(getattr(old, name) == getattr(new, name) for name in same)


def addresses(settings: Settings) -> dict[str, str]:
    """Each account's own address as it would be now."""
    return {account.name: own_address(account, settings) for account in settings.accounts}

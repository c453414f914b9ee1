# SPDX-License-Identifier: GPL-2.0-or-later
"""All legs of the SIP process, by call id: commands come in here, reports go out."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

import pjsua2 as pj

from appliance.dialplan import sends_us
from drivers.sip_pjsua2 import referral
from drivers.sip_pjsua2.call import Leg
from drivers.sip_pjsua2.port import Pool
from drivers.sip_pjsua2.request import Request
from drivers.sip_pjsua2.settings import Settings

if TYPE_CHECKING:
    from drivers.sip_pjsua2.account import Account
    from drivers.sip_pjsua2.accounts import Accounts

logger = logging.getLogger(__name__)

UNANSWERED: Final = 15.0
RINGING: Final = 330.0
NO_ANSWER: Final = 180.0
ENDING: Final = 4.0
TRANSFER: Final = 60.0


class Switchboard:
    """Main thread only."""

    def __init__(self, settings: Settings, pool: Pool, send: Callable[[Mapping[str, Any]], None]) -> None:
        self._settings = settings
        self.pool = pool
        self.silent_after, self.dead_after = settings.media_silence, settings.media_timeout
        self._send = send
        self._legs: dict[int, Leg] = {}
        self._orphans: list[Leg] = []
        self._dead: list[Leg] = []
        self.accounts: Accounts | None = None
        self.barred: tuple[str, Collection[str] | None] = ("", ())
        self._totals = {"underruns": 0, "overruns": 0, "calls": 0, "refused": 0}

    def dialogues(self) -> set[str]:
        """The Call-IDs of all legs that are up."""
        found = set()
        for leg in self._every():
            if not leg.gone and not leg.unborn:
                with contextlib.suppress(pj.Error):
                    found.add(str(leg.getInfo().callIdString))
        return found

    def account_of(self, call_id: str) -> "Account | None":
        """The account of the leg with that Call-ID."""
        leg = self._leg_of(call_id)
        return leg.account if leg is not None else None

    def _leg_of(self, call_id: str) -> Leg | None:
        for leg in self._every():
            if not leg.gone and not leg.unborn:
                with contextlib.suppress(pj.Error):
                    if leg.getInfo().callIdString == call_id:
                        return leg
        return None

    # --- commands

    def command(self, body: Mapping[str, Any]) -> None:
        """Carry out one command; what the library refuses becomes an event of that call."""
        number = int(str(body.get("call", "0")), 16)
        if body["type"] == "dial":
            self._dial(number, str(body["to"]), str(body.get("account", "")))
            return
        leg = self._legs.get(number)
        if leg is None or leg.gone:
            return  # it ended while the command was on its way
        try:
            self._direct(leg, body)
        except pj.Error as error:
            logger.warning("%s was refused by the library: %s", body["type"], error.info())
            text = error.reason or "refused by the SIP library"
            self.refused(leg, body["type"], text)
            if body["type"] == "transfer":
                leg.stay(0, f"transfer failed: {text}")

    def _direct(self, leg: Leg, body: Mapping[str, Any]) -> None:
        match body["type"]:
            case "ring":
                leg.reply(pj.PJSIP_SC_RINGING)
            case "answer":
                leg.reply(pj.PJSIP_SC_OK)
            case "reject":
                leg.end(int(body["code"]), str(body["reason"]))
            case "lock":
                leg.locked = bool(body["on"])
            case "hang_up":
                leg.end(0, "")
            case "hold":
                leg.hold()
            case "resume":
                leg.resume()
            case "transfer":
                leg.transfer(str(body["to"]), TRANSFER)
            case "join":
                other = self._legs.get(int(str(body["other"]), 16))
                if other is not None and other.confirmed and not other.gone:
                    leg.join(other, TRANSFER)
            case "dtmf":
                leg.send_digits(str(body["digits"]), self._settings.dtmf)
            case other:
                logger.warning("unknown command %s", other)

    def _dial(self, number: int, uri: str, name: str) -> None:
        account = self.accounts.named(name) if self.accounts is not None else None
        if account is None:
            gone = {"state": "ended", "code": 0, "reason": f"there is no account {name}"}
            self._send({"type": "call", "call": f"{number:08x}", **gone})
            return
        leg = Leg(self, account, number)
        self._legs[number] = leg
        self._totals["calls"] += 1
        transport = account.settings.transport
        if transport != "udp" and ";transport=" not in uri:
            uri = f"{uri};transport={transport}"
        try:
            leg.dial(uri)
        except pj.Error as error:
            logger.warning("the call was refused by the library: %s", error.info())
            if not leg.gone:
                leg.vanish(error.reason or "refused by the SIP library")

    def serves(self, account: "Account") -> bool:
        """Whether calls of that account are up."""
        return any(leg.account is account for leg in [*self._legs.values(), *self._orphans, *self._dead])

    def relocate(self, account: "Account") -> None:
        """That account's address is another: its calls go on from there."""
        for leg in self._every():
            if leg.account is account and leg.confirmed and not leg.gone and leg.ending is None:
                try:
                    leg.relocate()
                except pj.Error as error:
                    logger.warning("a call cannot follow to the new address: %s", error.info())

    def incoming(self, account: "Account", prm: Any) -> None:
        """An INVITE came: take it in, and let Handset decide."""
        number = int.from_bytes(os.urandom(4), "big") or 1
        leg = Leg(self, account, number, prm.callId)
        self._legs[number] = leg
        self._totals["calls"] += 1
        request = Request.parse(prm.rdata.wholeMsg)
        self._send(
            {
                "type": "incoming",
                "call": f"{number:08x}",
                "peer": request.peer or _plain(leg.getInfo().remoteUri),
                "source": _plain(prm.rdata.srcAddress),
                "account": account.name,
                "display_name": request.display_name,
                "headers": request.headers,
            }
        )

    def refers(self, leg: Leg, target: str) -> int:
        """The code that refuses a REFER to `target`, 0 where it is followed."""
        if not leg.locked and self._follows(leg, target):
            return 0
        code = pj.PJSIP_SC_DECLINE if self._settings.redirects == "never" else pj.PJSIP_SC_FORBIDDEN
        text = f"the far end's transfer was refused with {code}"
        hint = "see sip.redirects, sip.dial, sip.emergency_numbers, limits.dials_*"
        if leg.locked:
            text, hint = f"{text}: the caller has not given the PIN", "the call is locked until they have"
        self._notice(leg.number, "transfer_refused", text, hint)
        return int(code)

    def redirects(self, leg: Leg, target: str, count: int) -> int:
        """What to do with the answer that the one called is at `target` now."""
        if count <= referral.MOST and self._follows(leg, target):
            leg.sent = True
            self.tell_sent(leg, target)
            return int(pj.PJSIP_REDIRECT_ACCEPT_REPLACE)
        text = "a redirection was not followed"
        self._notice(leg.number, "redirection_refused", text, "see sip.redirects, sip.dial, limits.dials_*")
        return int(pj.PJSIP_REDIRECT_REJECT)

    def tell_sent(self, leg: Leg, target: str, *, answered: bool = False) -> None:
        body = {"call": f"{leg.number:08x}", "to": _plain(target), "answered": answered}
        self._send({"type": "sent", **body})

    def _follows(self, leg: Leg, target: str) -> bool:
        servers = [account.server for account in self._settings.accounts if account.server]
        if referral.is_barred(target, servers, self.barred, time.strftime("%Y-%m-%d")):
            return False
        peer = str(leg.getInfo().remoteUri)
        return referral.follows(self._settings.redirects, target, peer, servers) and sends_us(
            target,
            referral.host_of(target),
            servers=servers,
            through_server=bool(leg.account.settings.server),
            patterns=self._settings.dial,
            emergency=self._settings.emergency_numbers,
        )

    def rejected(self, peer: str, code: int) -> None:
        """The library refused a call by itself, having no place for one more: more than our own limit leaves it."""
        text = f"a call of {_plain(peer)} was refused with {code}: the SIP library has no place for it"
        self._notice(
            0,
            "no_place_for_call",
            text,
            "some calls are still being ended; a library built by: make pjsua2 has more",
        )

    def offer_refused(self, invite: str, why: str) -> None:
        """A call was refused before it was one, or an offer within one."""
        peer = _plain(Request.parse(invite).peer)
        leg = self._leg_of(Request.parse(invite).headers.get("call-id", ""))
        if leg is not None and leg.warned_of("offer"):
            return
        what = f"an offer of {peer} within the call" if leg is not None else f"a call of {peer}"
        hint = "see sip.codecs" if leg is not None else "see sip.srtp"
        number = leg.number if leg is not None else 0
        self._notice(number, "offer_refused", f"{what} was refused with 488: {why}", hint)

    def asked_for_password(self, call_id: str, host: str) -> None:
        """A host that is no server of the account's asked for its password, and was not answered."""
        leg = self._leg_of(call_id)
        if leg is None or leg.warned_of("password"):
            return
        text = f"{host} asked for a password: the account's own server alone is answered"
        self._notice(
            leg.number,
            "password_asked_for",
            text,
            "call numbers at your server, or let that host ask for none",
        )

    def _notice(self, number: int, code: str, text: str, hint: str) -> None:
        self._send({"type": "notice", "call": f"{number:08x}", "code": code, "text": text, "hint": hint})

    # --- reports of the legs

    def refused(self, leg: Leg, command: str, reason: str) -> None:
        """The library, or the far end, does not do what Handset asked for."""
        body = {"command": command, "reason": _plain(reason)}
        self._send({"type": "refused", "call": f"{leg.number:08x}", **body})

    def report(self, leg: Leg, state: str, code: int, reason: str) -> None:
        if leg.number:
            body = {"call": f"{leg.number:08x}", "state": state, "code": code, "reason": _plain(reason)}
            self._send({"type": "call", **body})

    def send_media(self, leg: Leg, active: bool, codec: str, events: bool, info: bool) -> None:
        if leg.number:
            body = {"active": active, "codec": codec if active else "", "events": events, "info": info}
            self._send({"type": "media", "call": f"{leg.number:08x}", **body})

    def send_dtmf(self, leg: Leg, digit: str, duration_ms: int, method: str) -> None:
        if leg.number:
            body = {"digit": digit, "duration_ms": duration_ms, "method": method}
            self._send({"type": "dtmf", "call": f"{leg.number:08x}", **body})

    def send_quality(self, leg: Leg, counts: Mapping[str, Any]) -> None:
        if leg.number:
            self._send({"type": "quality", "call": f"{leg.number:08x}", "counts": counts})

    def send_sound(self, leg: Leg, comes: bool, ever: bool) -> None:
        """Nothing comes from the far end, though it should; or it does again. `ever`: something has come before."""
        if leg.number:
            self._send({"type": "sound", "call": f"{leg.number:08x}", "comes": comes, "ever": ever})

    def left(self, leg: Leg, code: int, reason: str) -> None:
        """A leg is over. Its object dies later, from the main loop, never inside the library's own call."""
        for name, value in leg.counters().items():
            self._totals[name] += value
        self._dead.append(leg)
        successor = leg.successor
        if successor is not None and not successor.gone and leg.number:
            self.hand_over(leg, successor)
            return
        self._forsake(leg, code)
        self.report(leg, "ended", code, reason)
        self._legs.pop(leg.number, None)

    def _forsake(self, successor: Leg, code: int) -> None:
        """A far end sent us to somebody who cannot be had: the call goes on as it was."""
        for leg in self._legs.values():
            if leg.successor is successor:
                leg.successor = None
                text = f"the far end's transfer came to nothing: {code}"
                self._notice(leg.number, "transfer_failed", text, "the call goes on here")

    # --- a call that goes on in another leg (transfer, Replaces)

    def succeed(self, leg: Leg) -> Leg | None:
        """A leg that will carry `leg`'s call on once it is connected; None while there is one already."""
        if leg.successor is not None or not leg.confirmed or not leg.number:
            return None
        successor = Leg(self, leg.account, 0)
        leg.successor = successor
        self._orphans.append(successor)
        return successor

    def hand_over(self, old: Leg, new: Leg) -> None:
        number = old.number
        if not number:
            return
        old.successor = None
        old.move_port(0)
        self._legs[number] = new
        if new in self._orphans:
            self._orphans.remove(new)
        new.adopt(number)
        new.locked = old.locked
        if not old.gone:
            self._orphans.append(old)
            old.end(0, "")
        if new.confirmed:
            self.report(new, "connected", 0, "transferred")
        else:
            # The far end hung up before the other phone had answered: nobody is there to talk to yet.
            new.report("transferring", 0, "the far end has gone: calling who it sent us to")

    def confirmed(self, leg: Leg) -> None:
        for old in list(self._legs.values()):
            if old.successor is leg:
                self.hand_over(old, leg)
        if leg.sent:
            self.tell_sent(leg, "", answered=True)

    def tick(self, now: float) -> None:
        for leg in self._every():
            self._watch(leg, now)
        self._orphans = [leg for leg in self._orphans if not leg.gone]

    def bury(self) -> bool:
        """Let the objects of dead legs go; true when there were any."""
        if not self._dead:
            return False
        self._dead.clear()
        return True

    def _watch(self, leg: Leg, now: float) -> None:
        if leg.gone:
            return
        if leg.unborn:
            leg.vanish("the SIP library could not call there")
            return
        if leg.ending is not None:
            if now - leg.ending_at > ENDING:
                leg.vanish(leg.ending[1] or "hung up")
            return
        try:
            leg.getInfo()
        except pj.Error:
            leg.vanish("lost by the SIP library")
            return
        leg.tick(now)
        if not leg.confirmed:
            limit = NO_ANSWER if not leg.incoming else RINGING if leg.rung else UNANSWERED
            if now - leg.since > limit:
                leg.end(480 if leg.incoming else 0, "no answer")

    def counters(self) -> dict[str, int]:
        totals = dict(self._totals)
        for leg in self._legs.values():
            for name, value in leg.counters().items():
                totals[name] += value
        return {**totals, "legs": len(self._legs) + len(self._orphans), "faults": self.pool.faults()}

    def hang_up_all(self) -> None:
        for leg in self._every():
            leg.end(0 if leg.confirmed or not leg.incoming else 480, "")

    def empty(self) -> bool:
        return all(leg.gone for leg in self._every())

    def steady(self) -> bool:
        """All calls that are left have been answered, and none is being ended."""
        return all(leg.gone or (leg.confirmed and leg.ending is None) for leg in self._every())

    def _every(self) -> list[Leg]:
        return [*self._legs.values(), *self._orphans]

    def clear(self) -> None:
        self._legs.clear()
        self._orphans.clear()
        self._dead.clear()
        self.accounts = None


def _plain(text: str) -> str:
    """Without the lone surrogates that stand for bytes that were no UTF-8, and not longer than anyone needs."""
    return text.encode("utf-8", "replace").decode("utf-8")[:512]

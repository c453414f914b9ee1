# SPDX-License-Identifier: GPL-2.0-or-later
"""One leg: a SIP dialogue and its audio. Everything here runs on the main thread."""

import logging
import random
import time
from typing import TYPE_CHECKING, Any, Final

import pjsua2 as pj

from drivers.sip_pjsua2.glare import Wish
from drivers.sip_pjsua2.keyed import Digit, Keyed
from drivers.sip_pjsua2.port import CallPort
from drivers.sip_pjsua2.watch import Counts, Finding, Watch, read

if TYPE_CHECKING:
    from drivers.sip_pjsua2.switchboard import Switchboard

logger = logging.getLogger(__name__)

DTMF_MS: Final = 160
_DTMF_UPDATE: Final = 1
_DTMF_END: Final = 2
_ALLOW: Final = 4
_SUPPORTED: Final = 36
"""PJSIP_H_ALLOW and PJSIP_H_SUPPORTED, which the binding does not name."""


class Leg(pj.Call):  # type: ignore[misc]  # pjsua2 has no types
    """Reports to the switchboard; `number` is the call's id on the wire, 0 once the call lives on in another leg."""

    def __init__(
        self, board: "Switchboard", account: pj.Account, number: int, call_id: int = pj.PJSUA_INVALID_ID
    ) -> None:
        super().__init__(account, call_id)
        self.board = board
        self.account = account
        self.number = number
        self.incoming = call_id != pj.PJSUA_INVALID_ID
        self.state = ""
        self.since = time.monotonic()
        self.confirmed = False
        self.rung = False
        self.gone = False
        self.locked = False
        self.sent = False
        """A far end had us call there, not Handset."""
        self.held = False
        self._warned: set[str] = set()
        self.ending: tuple[int, str] | None = None
        self.ending_at = 0.0
        self.successor: Leg | None = None
        self.transfer_ends: float | None = None
        self._joining = False
        self._wish = Wish()
        self._redirected = 0
        self._port: CallPort | None = None
        self._codec = ""
        self._told: tuple[str, bool, bool] = ("", True, False)
        self._media = False
        self._index = 0
        self._watch = Watch(board.silent_after, board.dead_after, self.since)
        self._counts = {"underruns": 0, "overruns": 0}
        self._keyed = Keyed()

    @property
    def unborn(self) -> bool:
        """The library has no call for it: a successor that could not be called. To ask about one ends the process."""
        return int(self.getId()) == int(pj.PJSUA_INVALID_ID)

    # --- what the library reports

    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self._gone(int(info.lastStatusCode), str(info.lastReason))
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.confirmed = True
            self._watch.rest(time.monotonic())
            self.report("connected", int(info.lastStatusCode))
            self.board.confirmed(self)
        elif info.state == pj.PJSIP_INV_STATE_CALLING:
            self.report("dialing")
        elif info.state == pj.PJSIP_INV_STATE_EARLY:
            ringing = self.incoming or info.lastStatusCode == pj.PJSIP_SC_RINGING
            self.report("ringing" if ringing else "early", int(info.lastStatusCode))

    def onCallMediaState(self, prm: Any) -> None:
        info = self.getInfo()
        media = info.media  # bound: iterating over it on the temporary reads freed memory
        active = None
        statuses = set()
        for item in media:
            if item.type == pj.PJMEDIA_TYPE_AUDIO:
                statuses.add(int(item.status))
                sends = bool(int(item.dir) & pj.PJMEDIA_DIR_ENCODING)
                waits = item.status == pj.PJSUA_CALL_MEDIA_LOCAL_HOLD and sends
                if active is None and (item.status == pj.PJSUA_CALL_MEDIA_ACTIVE or waits):
                    active = (int(item.index), waits)
        if active is None:
            self._disconnect_audio()
        else:
            self._connect_audio(*active)
        self._set_held(statuses)

    def onCallTsxState(self, prm: Any) -> None:
        tsx = prm.e.body.tsxState.tsx
        if tsx.role == pj.PJSIP_ROLE_UAC and tsx.method == "INVITE":
            code, ours = int(tsx.statusCode), not self.incoming
            refused = self._wish.answered(code, time.monotonic(), ours=ours, chance=random.random())
            if refused:
                self.board.refused(self, refused, f"{code} {tsx.statusText}")

    def onDtmfEvent(self, prm: Any) -> None:
        method = "info" if prm.method == pj.PJSUA_DTMF_METHOD_SIP_INFO else "rfc4733"
        digit = Digit(str(prm.digit), int(prm.duration), method)
        self._tell_digit(self._keyed.told(digit, time.monotonic(), goes_on=bool(prm.flags & _DTMF_UPDATE)))
        if prm.flags & _DTMF_END or method == "info":
            self._tell_digit(self._keyed.end())

    def onCallTransferRequest(self, prm: Any) -> None:
        target = str(prm.dstUri)
        refusal = self.board.refers(self, target)
        if refusal:
            prm.statusCode = refusal
            return
        successor = self._succeed(prm, pj.PJSIP_SC_DECLINE)
        if successor is not None:
            successor.sent = True
            self.board.tell_sent(self, target)

    def onCallRedirected(self, prm: Any) -> int:
        self._redirected += 1
        return int(self.board.redirects(self, str(prm.targetUri), self._redirected))

    def onCallReplaceRequest(self, prm: Any) -> None:
        self._succeed(prm, pj.PJSIP_SC_BUSY_HERE)

    def _succeed(self, prm: Any, refusal: int) -> "Leg | None":
        successor = self.board.succeed(self)
        if successor is None:
            prm.statusCode = refusal
        else:
            prm.newCall = successor
        return successor

    def onCallReplaced(self, prm: Any) -> None:
        if self.successor is not None:
            self.board.hand_over(self, self.successor)

    def onCallTransferStatus(self, prm: Any) -> None:
        code = int(prm.statusCode)
        if self.transfer_ends is None:
            return
        if not prm.finalNotify and code < 300:
            if code > 100:
                self.report("transferring", code, str(prm.reason))
            return
        self.transfer_ends = None
        prm.cont = False
        if code // 100 == 2:
            self.end(0, "transferred")
        else:
            self.stay(code, f"transfer failed: {code} {prm.reason}".strip())

    # --- what Handset asks for

    def dial(self, uri: str) -> None:
        self.makeCall(uri, pj.CallOpParam(True))

    def reply(self, code: int, reason: str = "") -> None:
        prm = pj.CallOpParam(True)
        prm.statusCode = code
        prm.reason = reason
        self.rung = self.rung or code == pj.PJSIP_SC_RINGING
        self.answer(prm)

    def end(self, code: int = 0, reason: str = "") -> None:
        """BYE, CANCEL or a refusal with `code`, whichever fits; `reason` is what Handset is told in the end."""
        if self.gone:
            return
        if self.unborn:
            self.vanish(reason or "hung up")
            return
        if self.ending is None:
            self.ending = (code, reason)
            self.ending_at = time.monotonic()
        prm = pj.CallOpParam(True)
        prm.statusCode = code
        prm.reason = reason if code >= 300 else ""
        try:
            self.hangup(prm)
        except pj.Error as error:
            logger.info("hang-up was refused: %s", error.info())

    def hold(self) -> None:
        self._wish.begin("hold")
        self.setHold(pj.CallOpParam(True))

    def resume(self) -> None:
        self._wish.begin("resume")
        prm = pj.CallOpParam(True)
        prm.opt.flag = pj.PJSUA_CALL_UNHOLD
        self.reinvite(prm)

    def relocate(self) -> None:
        """Our address is another: tell the far end where we and our audio are now."""
        prm = pj.CallOpParam(True)
        prm.opt.flag |= pj.PJSUA_CALL_REINIT_MEDIA | pj.PJSUA_CALL_UPDATE_CONTACT | pj.PJSUA_CALL_UPDATE_VIA
        self.reinvite(prm)

    def transfer(self, uri: str, deadline: float) -> None:
        self._joining = False
        self.xfer(uri, pj.CallOpParam(True))
        self.transfer_ends = time.monotonic() + deadline
        self.report("transferring")

    def join(self, other: "Leg", deadline: float) -> None:
        """The far end here takes our place in `other`, where both ends know how; else nothing changes."""
        refers = self.remoteHasCap(_ALLOW, "", "REFER") == pj.PJSIP_DIALOG_CAP_SUPPORTED
        replaces = [
            leg.remoteHasCap(_SUPPORTED, "", "replaces") == pj.PJSIP_DIALOG_CAP_SUPPORTED
            for leg in (self, other)
        ]
        if not refers or not all(replaces):
            logger.info("the phones cannot be joined without us: refer %s, replaces %s", refers, replaces)
            return
        self._joining = True
        self.xferReplaces(other, pj.CallOpParam(True))
        self.transfer_ends = time.monotonic() + deadline
        self.report("transferring", 0, "joining the two phones")

    def send_digits(self, digits: str, method: str) -> None:
        prm = pj.CallSendDtmfParam()
        prm.digits = digits
        prm.duration = DTMF_MS
        if method != "info":
            prm.method = pj.PJSUA_DTMF_METHOD_RFC2833
            try:
                self.sendDtmf(prm)
            except pj.Error:
                if method == "rfc4733":
                    raise
            else:
                return
        prm.method = pj.PJSUA_DTMF_METHOD_SIP_INFO
        self.sendDtmf(prm)

    # --- time

    def tick(self, now: float) -> None:
        """Once a second or so."""
        if (again := self._wish.due(now)) and not self.gone:
            self.board.command({"type": again, "call": f"{self.number:08x}"})
        self._tell_digit(self._keyed.tick(now))
        if self.transfer_ends is not None and now > self.transfer_ends:
            self.transfer_ends = None
            self.stay(408, "transfer failed: no answer")
        if self.confirmed and not self.gone and self.ending is None:
            self._look_at_stream(now)

    def warned_of(self, what: str) -> bool:
        """Whether that was told of the far end already; now it is."""
        known, self._warned = what in self._warned, self._warned | {what}
        return known

    def counters(self) -> dict[str, int]:
        port = self._port
        return {"underruns": port.underruns, "overruns": port.overruns} if port else self._counts

    # --- inside

    def report(self, state: str, code: int = 0, reason: str = "") -> None:
        if state != self.state or reason:
            self.state = state
            self.board.report(self, state, code, reason)

    def stay(self, code: int, reason: str) -> None:
        """A transfer came to nothing: the call goes on as it was."""
        self.transfer_ends = None
        self.report("held" if self.held else "connected", code, reason)

    def vanish(self, reason: str) -> None:
        """The library has lost it: tell, and let go."""
        self._gone(0, reason)

    def _gone(self, code: int, reason: str) -> None:
        if self.gone:
            return
        self.gone = True
        self._tell_digit(self._keyed.end())
        self._release_port()
        if self._joining and self.transfer_ends is not None and code // 100 == 2:
            # The far end took our place and hung up before it said so.
            reason = "transferred"
        if self.ending and self.ending[1]:
            code, reason = self.ending[0] or code, self.ending[1]
        self.board.left(self, code, reason)

    def _connect_audio(self, index: int, waits: bool) -> None:
        """`waits`: the far end is on hold here. It hears us, and is not heard."""
        port = self._port or self.board.pool.take()
        if port is None:
            self.end(503, "no media port is free")
            return
        self._port, self._index = port, index
        stream = self.getAudioMedia(index)
        if not waits:
            stream.startTransmit(port)
        port.startTransmit(stream)
        info = self.getStreamInfo(index)
        codec = f"{info.codecName}/{info.codecClockRate}"
        if not port.call:
            port.open(self.number)
        if not self._media or codec != self._codec:
            self._media, self._codec = True, codec
            self._watch.rest(time.monotonic())
            self._tell_media(info)

    def _tell_media(self, info: Any) -> None:
        takes_info = self.remoteHasCap(pj.PJSIP_H_ALLOW, "", "INFO") == pj.PJSIP_DIALOG_CAP_SUPPORTED
        self._told = (self._codec, int(info.audTxEventPt) > 0, takes_info)
        self.board.send_media(self, True, *self._told)

    def _disconnect_audio(self) -> None:
        if not self._media:
            return
        self._media = False
        if self.confirmed:
            self._tell_quality()
        # The bridge drops the connections of a stream that it removes; what is left to stop is stopped here.
        if self._port is not None:
            self._port.close()
            try:
                stream = self.getAudioMedia(self._index)
                stream.stopTransmit(self._port)
                self._port.stopTransmit(stream)
            except pj.Error as error:
                logger.debug("the stream was gone already: %s", error.info())
        self.board.send_media(self, False, *self._told)

    def _release_port(self) -> None:
        self._disconnect_audio()
        if self._port is not None:
            self._counts = self.counters()
            self.board.pool.give_back(self._port)
            self._port = None

    def move_port(self, number: int) -> None:
        """The call's id goes to another leg: this one's audio ends here."""
        self._release_port()
        self.number = number

    def adopt(self, number: int) -> None:
        """Carry on the call `number`."""
        self.number = number
        if self._port is not None and self._media:
            self._port.open(number)
            self.board.send_media(self, True, *self._told)

    def _set_held(self, statuses: set[int]) -> None:
        if not self.confirmed:
            return
        here = int(pj.PJSUA_CALL_MEDIA_LOCAL_HOLD) in statuses
        there = int(pj.PJSUA_CALL_MEDIA_REMOTE_HOLD) in statuses
        if (here or there) and not self.held:
            self.held = True
            self.report("held", 0, "held here" if here else "held by the far end")
        elif self.held and not (here or there):
            self.held = False
            self.report("connected")

    def _look_at_stream(self, now: float) -> None:
        if self.held or not self._media:
            self._watch.rest(now)
            return
        finding = self._watch.look(self._stream_counts() or self._watch.counts, now)
        if finding is Finding.DEAD:
            self.end(0, "media timeout")
        elif finding is not None:
            self.board.send_sound(self, finding is Finding.BACK, self._watch.ever)
        if self._watch.due(now):
            self._tell_quality()

    def _stream_counts(self) -> Counts | None:
        try:
            stat = self.getStreamStat(self._index)
        except pj.Error:
            return None
        return read(stat)

    def _tell_quality(self) -> None:
        self.board.send_quality(self, self._watch.counts.message())

    def _tell_digit(self, digit: Digit | None) -> None:
        if digit is not None:
            self.board.send_dtmf(self, digit.digit, digit.duration_ms, digit.method)

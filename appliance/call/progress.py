"""What the telephone reports of the calls that are up: their state, their sound, their digits, in order and once."""

import asyncio
import time
from collections.abc import Callable, Mapping

from appliance.bus import EventBus
from appliance.call.call import Call
from appliance.call.line_quality import LineQuality
from appliance.call.machine import CallState, follow
from appliance.call.table import CallTable
from appliance.config.schema import Sip
from appliance.events import DtmfReceived, Warned
from appliance.interfaces import (
    CallReport,
    DtmfReport,
    MediaReport,
    NoticeReport,
    QualityReport,
    SoundReport,
)

ProgressReport = CallReport | MediaReport | DtmfReport | QualityReport | SoundReport | NoticeReport


def way_of_digits(wanted: str, media: MediaReport) -> str:
    """How digits go on a call, by the setting and what the far end offers; an offer of nothing leaves their sound."""
    if wanted != "auto":
        return wanted
    if media.events:
        return "rfc4733"
    return "info" if media.info else "inband"


class Progress:
    """Belongs to the loop's thread. `on_connected` is told once of each answered call, `on_digit` of each digit."""

    def __init__(
        self,
        settings: Sip,
        bus: EventBus,
        table: CallTable,
        on_connected: Callable[[Call], None],
        on_digit: Callable[[Call, str], None],
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._table = table
        self._on_connected = on_connected
        self._on_digit = on_digit
        self._line_quality = LineQuality(bus)
        self._late = 0

    def renew(self, settings: Sip) -> None:
        """Other accounts."""
        self._settings = settings

    def take(self, report: ProgressReport) -> None:
        """A report of a call that is over, or that contradicts what is known of it, is counted and dropped."""
        call = self._table.get(report.call)
        match report:
            case NoticeReport():
                self._warn(call, report)
            case CallReport():
                self._move(call, report)
            case MediaReport(codec=codec) if call is not None:
                call.codec = codec
                call.digits_by = way_of_digits(self._settings.dtmf, report)
            case DtmfReport() if call is not None:
                self._pressed(call, report)
            case QualityReport() if call is not None:
                self._line_quality.measured(call, report)
            case SoundReport() if call is not None:
                self._line_quality.sound(call, report)

    def counters(self) -> Mapping[str, float]:
        return {"late_reports": self._late, **self._line_quality.counters(self._table)}

    def _move(self, call: Call | None, report: CallReport) -> None:
        state = follow(call.state, CallState(report.state)) if call else None
        if call is None or state is None:
            self._late += 1
            return
        if state is CallState.ENDED:
            self._table.end(call, report.code, report.reason)
            return
        call.state, call.code, call.reason = state, report.code, report.reason
        if state is CallState.CONNECTED and call.connected_at is None:
            call.connected_at = time.time()
            call.answered_at = asyncio.get_running_loop().time()
            call.cancel_timer()
            self._on_connected(call)
        if call.state is state:
            self._table.tell(call)

    def _pressed(self, call: Call, report: DtmfReport) -> None:
        if report.method != "inband" and call.digits_by == "inband":
            # Whoever sends digits so may send their sound too: each would be heard twice.
            call.digits_by = report.method
        if not call.locked:
            self._bus.publish(
                DtmfReceived(
                    call=call.id,
                    digit=report.digit,
                    duration_ms=report.duration_ms,
                    method=report.method,
                    session=call.session,
                    line=call.line,
                )
            )
        self._on_digit(call, report.digit)

    def _warn(self, call: Call | None, notice: NoticeReport) -> None:
        self._bus.publish(
            Warned(
                session=call.session if call else None,
                line=call.line if call else None,
                code=notice.code,
                message=notice.message,
                hint=notice.hint,
            )
        )

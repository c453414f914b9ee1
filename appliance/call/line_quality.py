"""How calls are to hear: told on the bus, warned of where nothing comes, and counted for /metrics."""

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from appliance.bus import EventBus
from appliance.call.call import Call
from appliance.call.quality import StreamCounts
from appliance.events import CallMeasured, Warned
from appliance.interfaces import QualityReport, SoundReport

_NEVER: Final = "look at NAT and firewall: sip.rtp_ports must reach this machine; sip.stun may help"
_STOPPED: Final = "look at the network between here and the PBX, and at the far phone's microphone"
logger = logging.getLogger(__name__)


class LineQuality:
    """Belongs to the loop's thread."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._silent = 0

    def measured(self, call: Call, report: QualityReport) -> None:
        counts = StreamCounts.told(report.counts)
        quality = call.quality.take(counts, call.codec)
        if quality is not None:
            self._bus.publish(
                CallMeasured(call=call.id, session=call.session, line=call.line, **quality.wire())
            )

    def sound(self, call: Call, report: SoundReport) -> None:
        """Nothing is heard of the far end, or it is again."""
        if report.comes:
            logger.info("call %s: sound comes from the far end again", call.id)
            return
        self._silent += 1
        code = "sound_stopped" if report.ever else "no_sound_arrives"
        logger.warning("call %s: %s", call.id, code)
        message = (
            "nothing comes from the far end any more" if report.ever else "nothing comes from the far end"
        )
        hint = _STOPPED if report.ever else _NEVER
        self._bus.publish(
            Warned(
                session=call.session,
                line=call.line,
                code=code,
                message=f"call {call.id}: {message}",
                hint=hint,
            )
        )

    def counters(self, calls: Iterable[Call]) -> Mapping[str, float]:
        """Of the calls that are up, the worst of each; 0 where nothing is measured."""
        now = [call.quality.latest for call in calls if call.quality.latest is not None]
        return {
            "calls_without_sound": self._silent,
            "quality_worst_mos": min((quality.mos for quality in now), default=0.0),
            "quality_worst_loss_percent": max((quality.loss_percent for quality in now), default=0.0),
            "quality_worst_jitter_ms": max((quality.jitter_ms for quality in now), default=0.0),
            "quality_worst_round_trip_ms": max((quality.round_trip_ms for quality in now), default=0.0),
            "quality_worst_far_loss_percent": max((quality.far_loss_percent for quality in now), default=0.0),
        }

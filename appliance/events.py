"""What happened: the events of the control API, in one list as in docs/control-api.md. `bus.py` carries them.

Audio never travels here. `topic` is the event's `type` on the wire; the other fields keep their wire names.
Fields that are None are left out on the wire.
"""

import time
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, ClassVar

from appliance.records import record


@record(frozen=True, slots=True, kw_only=True)
class Event:
    """Base: `at` is wall-clock Unix seconds; `session` and `line` are ids where they apply."""

    topic: ClassVar[str] = ""
    at: float = field(default_factory=time.time)
    session: str | None = None
    line: str | None = None

    def wire(self) -> dict[str, Any]:
        """The JSON object of the control API."""
        body: dict[str, Any] = {"type": self.topic}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None:
                body[item.name.rstrip("_")] = value
        return body


@record(frozen=True, slots=True, kw_only=True)
class SessionStateChanged(Event):
    topic: ClassVar[str] = "session.state"
    from_: str
    to: str
    reason: str = ""
    provider: str | None = None


@record(frozen=True, slots=True, kw_only=True)
class TurnChanged(Event):
    """`state` is idle, listening, thinking or speaking."""

    topic: ClassVar[str] = "turn"
    turn: int
    state: str


@record(frozen=True, slots=True, kw_only=True)
class SpeechStarted(Event):
    topic: ClassVar[str] = "speech.started"
    turn: int


@record(frozen=True, slots=True, kw_only=True)
class SpeechStopped(Event):
    topic: ClassVar[str] = "speech.stopped"
    turn: int


@record(frozen=True, slots=True, kw_only=True)
class Transcript(Event):
    """`text` is cumulative; `heard` (assistant, final) is what the person really heard."""

    topic: ClassVar[str] = "transcript"
    turn: int
    role: str
    text: str
    final: bool
    heard: str | None = None


@record(frozen=True, slots=True, kw_only=True)
class Interrupted(Event):
    topic: ClassVar[str] = "interrupted"
    turn: int
    heard_ms: int
    reason: str


@record(frozen=True, slots=True, kw_only=True)
class AgentChanged(Event):
    """Promised, so that it can be subscribed to; nobody publishes it while `agent.transfer` is not supported."""

    topic: ClassVar[str] = "agent"
    from_: str
    to: str


@record(frozen=True, slots=True, kw_only=True)
class ToolCalled(Event):
    topic: ClassVar[str] = "tool.call"
    call_id: str
    tool: str
    arguments: Mapping[str, Any]


@record(frozen=True, slots=True, kw_only=True)
class ToolFinished(Event):
    topic: ClassVar[str] = "tool.result"
    call_id: str
    tool: str
    result: Any = None
    error: str | None = None
    duration_ms: int = 0


@record(frozen=True, slots=True, kw_only=True)
class ToolCancelled(Event):
    topic: ClassVar[str] = "tool.cancel"
    call_id: str
    tool: str


@record(frozen=True, slots=True, kw_only=True)
class Notified(Event):
    topic: ClassVar[str] = "notification"
    text: str
    label: str = ""


@record(frozen=True, slots=True, kw_only=True)
class RegistrationChanged(Event):
    """`state` is off, trying, registered or failed; `code` the SIP status, 0 without one; `hint` the remedy, if any."""

    topic: ClassVar[str] = "registration"
    state: str
    code: int = 0
    reason: str = ""
    server: str = ""
    account: str = "default"
    hint: str = ""


@record(frozen=True, slots=True, kw_only=True)
class CallChanged(Event):
    """`direction` is in or out; `state` as in appliance/call/machine.py; `code` the SIP status, 0 without one."""

    topic: ClassVar[str] = "call"
    call: str
    direction: str
    state: str
    peer: str
    code: int = 0
    reason: str = ""
    display_name: str | None = None
    called: str | None = None
    outcome: str | None = None
    """Of a call that was dialled and ended unanswered: busy, no_answer, declined ... (appliance/call/outcome.py)."""


@record(frozen=True, slots=True, kw_only=True)
class CallMoved(Event):
    """Who talks on an answered call from now on: `place` is room or agent."""

    topic: ClassVar[str] = "call.place"
    call: str
    place: str


@record(frozen=True, slots=True, kw_only=True)
class MailboxChanged(Event):
    """Messages at the server: `new` and `old` voice messages, 0 where it does not tell how many."""

    topic: ClassVar[str] = "mailbox"
    account: str
    waiting: bool
    new: int = 0
    old: int = 0


@record(frozen=True, slots=True, kw_only=True)
class DtmfReceived(Event):
    topic: ClassVar[str] = "dtmf"
    call: str
    digit: str
    duration_ms: int
    method: str = "rfc4733"
    """rfc4733, info or inband."""


@record(frozen=True, slots=True, kw_only=True)
class CallMeasured(Event):
    """Every five seconds of a call: how it is to hear. `loss_percent` is lost or too late, `far_` of our sound."""

    topic: ClassVar[str] = "call.quality"
    call: str
    mos: float
    loss_percent: float
    jitter_ms: float
    round_trip_ms: float
    buffer_ms: float
    far_loss_percent: float


@record(frozen=True, slots=True, kw_only=True)
class RecordingChanged(Event):
    """`state` is started, paused, resumed, stopped or failed."""

    topic: ClassVar[str] = "recording"
    call: str
    state: str
    path: str


@record(frozen=True, slots=True, kw_only=True)
class MuteChanged(Event):
    """`by` is "switch" where the switch at the box did it."""

    topic: ClassVar[str] = "mute"
    on: bool
    by: str | None = None


@record(frozen=True, slots=True, kw_only=True)
class ButtonMoved(Event):
    """`button` is its key in [gpio]; `action` as in appliance/panel/press.py; `held_ms` how long it had been down."""

    topic: ClassVar[str] = "button"
    button: str
    action: str
    held_ms: int = 0


@record(frozen=True, slots=True, kw_only=True)
class HookMoved(Event):
    """`state` is off (the receiver is lifted) or on."""

    topic: ClassVar[str] = "hook"
    state: str


@record(frozen=True, slots=True, kw_only=True)
class VolumeChanged(Event):
    topic: ClassVar[str] = "volume"
    level: int


@record(frozen=True, slots=True, kw_only=True)
class DeviceChanged(Event):
    """`kind` is input or output; `state` present, lost or recovered."""

    topic: ClassVar[str] = "device"
    kind: str
    state: str
    name: str


@record(frozen=True, slots=True, kw_only=True)
class ProviderChanged(Event):
    """`state` is up, down or renewing; `code` is that of the error that `reason` is the message of."""

    topic: ClassVar[str] = "provider"
    provider: str
    state: str
    reason: str = ""
    code: str = ""


@record(frozen=True, slots=True, kw_only=True)
class LatencyMeasured(Event):
    """Milliseconds after the person's last speech sample; None where the stage did not happen."""

    topic: ClassVar[str] = "latency"
    turn: int
    end_of_speech: int | None = None
    first_text: int | None = None
    first_audio: int | None = None
    first_sound: int | None = None


@record(frozen=True, slots=True, kw_only=True)
class UsageReported(Event):
    topic: ClassVar[str] = "usage"
    provider: str
    input: float
    output: float
    unit: str
    seconds: float = 0.0


@record(frozen=True, slots=True, kw_only=True)
class WakeChanged(Event):
    """With `room.mode` "wake-word": `state` is awake (somebody said `word`; empty: a key or the
    receiver did it), stopped (somebody said `word`), or asleep."""

    topic: ClassVar[str] = "wake"
    state: str
    word: str = ""


@record(frozen=True, slots=True, kw_only=True)
class RoomMeasured(Event):
    """The room's echo was measured anew; `duplex` is how it is used from now on where the configuration says "auto"."""

    topic: ClassVar[str] = "room.measured"
    duplex: str
    reason: str


@record(frozen=True, slots=True, kw_only=True)
class Provisioned(Event):
    """The settings on the boot partition were taken over; `faults` of them were not, each told as a warning."""

    topic: ClassVar[str] = "provisioned"
    ok: bool
    message: str
    faults: int


@record(frozen=True, slots=True, kw_only=True)
class SetupChanged(Event):
    """`state` is open: the appliance has a network of its own to be set up through; or closed."""

    topic: ClassVar[str] = "setup"
    state: str


@record(frozen=True, slots=True, kw_only=True)
class AudioLevel(Event):
    """10 Hz per line, on subscription: RMS of microphone and playout, dBFS."""

    topic: ClassVar[str] = "audio.level"
    input_dbfs: float
    output_dbfs: float


@record(frozen=True, slots=True, kw_only=True)
class MetricsMeasured(Event):
    """1 Hz, on subscription: the counters that /metrics shows."""

    topic: ClassVar[str] = "metrics"
    counters: Mapping[str, float]


@record(frozen=True, slots=True, kw_only=True)
class ClockChanged(Event):
    """`state` is synchronized, unsynchronized, or stepped by `by_seconds`."""

    topic: ClassVar[str] = "clock"
    state: str
    by_seconds: float = 0.0


@record(frozen=True, slots=True, kw_only=True)
class PowerChanged(Event):
    """`state` is low: the supply's voltage fell, or fine: it has not for ten minutes."""

    topic: ClassVar[str] = "power"
    state: str


@record(frozen=True, slots=True, kw_only=True)
class ReleaseChanged(Event):
    """An update ended: `state` is updated, stepped_back or refused; `what` is application or system."""

    topic: ClassVar[str] = "release"
    from_: str
    to: str
    state: str
    reason: str = ""
    what: str = "application"


@record(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    topic: ClassVar[str] = "warning"
    code: str
    message: str
    hint: str = ""
    provider: str | None = None


@record(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    topic: ClassVar[str] = "error"
    code: str
    message: str
    hint: str = ""

"""Contracts between the parts: sound card, detectors, echo canceller, telephone, provider, voice, tools.

Whatever is outside Handset sits behind one of these and is loaded by entry-point name; the core never asks for a class.
"Driver's thread" functions copy bytes and count: they do not log, wait for a lock, call asyncio, or raise.
"""
# Longer than other files: whoever writes a driver or a provider finds all contracts in one place.

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from appliance.frames import Frame

# --- audio edges --------------------------------------------------------------------------------------------------

CaptureSink = Callable[[bytes, float], None]
"""Driver's thread: (pcm s16le mono at the driver's rate, monotonic second of its last sample)."""

PlayoutSource = Callable[[int], bytes]
"""Driver's thread: (samples wanted) -> exactly so many samples, s16le mono; silence where nothing is due."""


class LineKind(StrEnum):
    ROOM = "room"
    PHONE = "phone"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """A sound card tells what became of a device. `kind` input or output; `state` present, lost or recovered."""

    kind: str
    state: str
    name: str


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device as `handset audio list` shows it; `name` is stable over re-plugging and what the configuration takes."""

    name: str
    kind: str
    channels: int
    rate: int
    default: bool = False


class SoundCard(Protocol):
    """A microphone and a speaker. Entry-point group `appliance.sound_cards`.

    Built as `factory(input_name, output_name, period_ms=20)`. `start` returns at once, also without any device: the
    card keeps looking, opens what comes, re-opens what was lost within 3 s of its return, and reports each change
    through `report` (any thread). A class also has a static `devices() -> list[DeviceInfo]`.
    """

    capture_rate: int
    """Rate at which the capture sink is called; known from construction on."""
    playout_rate: int
    """Rate at which the playout source is asked; known from construction on."""

    def start(
        self,
        capture: CaptureSink,
        playout: PlayoutSource,
        report: Callable[[DeviceReport], None],
    ) -> None: ...

    def stop(self) -> None:
        """Close the devices and join the threads; at most 2 s."""
        ...

    @property
    def output_delay_ms(self) -> float:
        """Time from a `playout` call's return to its first sample sounding, as far as the driver knows."""
        ...

    @property
    def silent_for(self) -> float:
        """Seconds since the driver's own thread gave a sign of life; 0 while it does not run."""
        ...

    def counters(self) -> Mapping[str, int]: ...


class VoiceDetector(Protocol):
    """Says whether a frame is speech. Group `appliance.voice_detectors`. Built with `aggressiveness`, or without."""

    rate: int
    frame_samples: int

    def likelihood(self, pcm: bytes) -> float:
        """How likely it is that somebody speaks, 0 to 1; a detector that only knows yes and no says 1.0 or 0.0.

        `pcm` is exactly `frame_samples` of s16le mono at `rate`.
        """
        ...

    def reset(self) -> None: ...


class EchoCanceller(Protocol):
    """Takes the played sound out of the microphone's. Group `appliance.echo_cancellers`. 16 kHz, 10 ms a call."""

    def far_end(self, pcm: bytes) -> None:
        """Feed 10 ms of what was played, before the microphone's 10 ms."""
        ...

    def near_end(self, pcm: bytes) -> bytes:
        """Return the microphone's 10 ms with the echo taken out."""
        ...

    def close(self) -> None: ...


# --- telephone ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """Base of what the SIP process reports."""


@dataclass(frozen=True, slots=True)
class RegistrationReport(TelephoneEvent):
    """`state` is off, trying, registered or failed."""

    state: str
    code: int = 0
    reason: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True)
class IncomingCall(TelephoneEvent):
    """An INVITE waits for `ring`, `answer` or `reject`. `source` is the host:port that the request came from."""

    call: str
    peer: str
    source: str
    display_name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallReport(TelephoneEvent):
    """The SIP dialogue moved. `state` is dialing, ringing, early, connected, held, transferring or ended."""

    call: str
    state: str
    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MediaReport(TelephoneEvent):
    """RTP runs (`active`) or stopped; `codec` as negotiated, for example "PCMU/8000"."""

    call: str
    active: bool
    codec: str = ""


@dataclass(frozen=True, slots=True)
class DtmfReport(TelephoneEvent):
    call: str
    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class TelephoneLost(TelephoneEvent):
    """The SIP process crashed or hung: `calls` are gone. It is being restarted."""

    reason: str
    calls: Sequence[str]


@dataclass(frozen=True, slots=True)
class TelephoneReady(TelephoneEvent):
    """The SIP process runs and its transports listen at `address` (host:port)."""

    address: str


class Telephone(Protocol):
    """A SIP stack. Group `appliance.telephones`. Built as `factory(settings)` from the `[sip]` section as a mapping.

    All methods belong to the loop's thread; none waits on the network: outcomes come as events through `post`, which is
    called on the loop's thread. Commands for an unknown or ended call raise `UnknownName`; while the process is down
    they raise `TelephoneUnavailable`. Audio of a call is 16 kHz mono, 20 ms frames, both ways.
    """

    rate: int

    async def start(self, post: Callable[[TelephoneEvent], None]) -> None: ...

    async def stop(self) -> None:
        """Hang up all calls, unregister, end the process; at most 4 s, then it is killed."""
        ...

    def dial(self, to: str) -> str:
        """Start an outgoing call to a SIP URI, extension or number; return its call id."""
        ...

    def ring(self, call: str) -> None:
        """Send 180 Ringing."""
        ...

    def answer(self, call: str) -> None: ...

    def reject(self, call: str, code: int, reason: str = "") -> None: ...

    def hang_up(self, call: str) -> None: ...

    def hold(self, call: str) -> None: ...

    def resume(self, call: str) -> None: ...

    def transfer(self, call: str, to: str) -> None:
        """Blind transfer (REFER)."""
        ...

    def send_dtmf(self, call: str, digits: str) -> None: ...

    def attach(self, call: str, capture: CaptureSink, playout: PlayoutSource) -> None:
        """Join a call's audio: both functions are called on the driver's thread, once each 20 ms, while media runs."""
        ...

    def heard_lag_ms(self, call: str) -> float:
        """Audio taken from `playout` that the RTP stream has not yet taken."""
        ...

    def counters(self) -> Mapping[str, int]: ...


# --- provider -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do; a session branches on these and never on a class."""

    input_rate: int = 16_000
    output_rate: int = 24_000
    server_turns: bool = False
    """It may find the end of a turn itself, and says TurnEnded then. A session still says CommitTurn and DiscardTurn:
    for such a provider they mean that the device hears no more speech."""
    truncate: bool = False
    """With CancelResponse it cuts its own memory of the answer to what was heard."""
    restores_calls: bool = False
    """It takes the ToolResult of a call that stands in Setup.history without one, and answers it."""
    resumes: bool = False
    """It gives ResumptionHandle events, and takes a conversation up again by Setup.handle."""
    paced: bool = False
    """It makes audio faster than real time from a local engine, and may be held back by not reading its events."""
    local: bool = False
    """It needs no network."""


class Delivery(StrEnum):
    """When the model is to speak about a tool's result."""

    IMMEDIATE = "immediate"
    """At once; after the response that is being made, where there is one."""
    WHEN_IDLE = "when_idle"
    """When nobody talks and nothing sounds."""
    INTERRUPT = "interrupt"
    """At once, and what is being said is broken off."""
    SILENT = "silent"
    """Not at all: it is for the model to know."""


@dataclass(frozen=True, slots=True)
class ToolDeclaration:
    """What a provider is told of a tool; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    delivery: Delivery = Delivery.IMMEDIATE


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One thing said: `role` user or assistant; for the assistant, what was heard."""

    role: str
    text: str
    response: str = ""
    """Names what sounds still: CancelResponse may yet say, by this name, how little of it was heard."""


@dataclass(frozen=True, slots=True)
class CalledTool:
    """A tool call in the history. Without `outcome` (JSON text) its one ToolResult comes over the new connection."""

    call_id: str
    tool: str
    arguments: str
    outcome: str | None = None
    turn: int = 0
    """The turn that it was called for, where it is known: what the model says of the result answers it."""


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a connection needs to begin or to take a conversation up again.

    With `handle` the provider knows the conversation, and `history` is only for the case that it does not take the
    handle: a connection uses one of the two, never both. Nothing of the history is answered or spoken.
    """

    session: str
    instructions: str = ""
    language: str = "en"
    voice: str = ""
    tools: Sequence[ToolDeclaration] = ()
    history: Sequence[HistoryItem | CalledTool] = ()
    handle: str = ""
    line_kind: LineKind = LineKind.ROOM
    """For the choice of noise reduction: the room's microphone is far away, a telephone's is near."""
    by_key: bool = False
    """Push-to-talk: only CommitTurn ends a turn."""
    rate: int = 0
    """Of the line's playout, for a provider that can speak at any; 0: unknown."""
    alone: bool = False
    """No other provider is there to go on with: an answer that failed is apologised for, and the next turn tried."""


@dataclass(frozen=True, slots=True)
class ProviderCommand:
    """Base of what a session tells a provider."""


@dataclass(frozen=True, slots=True)
class SendAudio(ProviderCommand):
    """20 ms of speech of `turn`, at the provider's `input_rate`; pre-roll first."""

    turn: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class CommitTurn(ProviderCommand):
    """The person has finished `turn`: answer it."""

    turn: int


@dataclass(frozen=True, slots=True)
class DiscardTurn(ProviderCommand):
    """What was sent of `turn` was no turn: forget it."""

    turn: int


@dataclass(frozen=True, slots=True)
class SendText(ProviderCommand):
    """The person typed `text` as `turn`: answer it."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class CancelResponse(ProviderCommand):
    """Stop answering. `heard` is what was really heard of the answer, `heard_ms` its length. Harmless when late.

    `response` names a response of this connection, or an item of Setup.history: then `heard` is all that is true of it.
    """

    response: str
    heard: str
    heard_ms: int


@dataclass(frozen=True, slots=True)
class ToolResult(ProviderCommand):
    """The one answer to a ToolCall. `error` is a sentence for the model, or empty."""

    call_id: str
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    delivery: Delivery = Delivery.IMMEDIATE


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """Base of what a provider tells a session."""


@dataclass(frozen=True, slots=True)
class UserHeard(ProviderEvent):
    """What was understood of `turn`; `text` is cumulative, and empty when final where nothing was understood."""

    turn: int
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class TurnEnded(ProviderEvent):
    """The provider takes `turn` for finished, and will answer it. Only with Capabilities.server_turns."""

    turn: int


@dataclass(frozen=True, slots=True)
class ResponseStarted(ProviderEvent):
    """An answer begins; `response` names it in all that follows. `turn` is what it answers; 0: it was not asked."""

    response: str
    turn: int


@dataclass(frozen=True, slots=True)
class ResponseText(ProviderEvent):
    """The next piece of the answer's text, and where in its audio it starts (milliseconds from the first sample)."""

    response: str
    text: str
    audio_from_ms: float


@dataclass(frozen=True, slots=True)
class ResponseAudio(ProviderEvent):
    """The next piece of the answer's audio: s16le mono at `rate`, any length."""

    response: str
    pcm: bytes
    rate: int


@dataclass(frozen=True, slots=True)
class ResponseFinished(ProviderEvent):
    """No more of this answer comes. `status` is completed, cancelled, failed or silent (there is nothing to say)."""

    response: str
    turn: int
    status: str = "completed"


@dataclass(frozen=True, slots=True)
class ToolCall(ProviderEvent):
    """Run a tool and send exactly one ToolResult, also when `arguments` (JSON text or object) are malformed."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any] | str
    turn: int


@dataclass(frozen=True, slots=True)
class ToolCallWithdrawn(ProviderEvent):
    """The model wants no result any more. Each call still gets its one ToolResult, which the connection drops."""

    call_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class ProviderUsage(ProviderEvent):
    """`unit` is tokens or seconds."""

    input: float
    output: float
    unit: str


@dataclass(frozen=True, slots=True)
class RenewalDue(ProviderEvent):
    """The provider ends this connection in `seconds`: it should be renewed before, in a pause."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ResumptionHandle(ProviderEvent):
    """The newest handle for Setup.handle; empty while there is none that knows all that was said."""

    handle: str


@dataclass(frozen=True, slots=True)
class ProviderTrouble(ProviderEvent):
    """Something was wrong with what came or went, and the talk goes on: counted and told. `code` is stable."""

    code: str
    message: str


class Connection(Protocol):
    """One live conversation with a provider. Iterating yields its events; the end of the iteration is a disconnect.

    Iterating may raise an ApplianceError instead of ending: ProviderUnavailable, or what `Provider.connect` raises,
    when that is why it ended. A silent path is a disconnect after 2 s at the latest: a connection over a network pings.
    """

    async def send(self, command: ProviderCommand) -> None:
        """Raise ProviderUnavailable when the connection is gone; never wait for an answer."""
        ...

    def __aiter__(self) -> AsyncIterator[ProviderEvent]: ...

    def counters(self) -> Mapping[str, int]:
        """How often what was survived, dropped or came too late on this connection, by name; none ever falls."""
        ...

    async def close(self) -> None:
        """Idempotent; at most 2 s."""
        ...


class Provider(Protocol):
    """Listens and answers. Group `appliance.providers`. Built as `factory(settings)` from `[providers.NAME]`."""

    name: str
    capabilities: Capabilities

    async def warm(self) -> None:
        """Import the SDK or load the models off the loop, so that the first turn is not slow. Idempotent."""
        ...

    async def connect(self, setup: Setup) -> Connection:
        """Return a connection that takes audio at once.

        Raise ProviderUnavailable (RateLimited among them), or what no new dial mends: CredentialsRejected,
        QuotaExhausted, SetupRejected, DriverMissing.
        """
        ...

    async def close(self) -> None: ...


# --- voice --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spoken:
    """A piece of speech: the text that it says (on the first piece of each sentence, else empty) and its samples."""

    text: str
    pcm: bytes
    rate: int


class Voice(Protocol):
    """Text to speech on the device, for `say`, notifications and the appliance's own lines: `appliance.voices`."""

    def speak(self, text: str) -> AsyncIterator[Spoken]:
        """Yield speech sentence by sentence; closing the iterator stops the engine at once."""
        ...


# --- tools --------------------------------------------------------------------------------------------------------


class ToolContext(Protocol):
    """What a tool may do to the session that called it. What is not possible raises an ApplianceError."""

    session: str
    line: str
    line_kind: LineKind

    def now(self) -> float:
        """Unix seconds."""
        ...

    def volume(self) -> int: ...

    def set_volume(self, level: int) -> int:
        """0-100; returns what is in force."""
        ...

    def set_muted(self, on: bool) -> None:
        """Silence the microphone of the session's line."""
        ...

    async def dial(self, to: str) -> str:
        """Call a number, extension, URI or named contact; return the call id."""
        ...

    async def transfer(self, to: str) -> None:
        """Transfer the session's own call, blind."""
        ...

    async def hang_up(self) -> None:
        """End the session's own call, or its session, once what is being said has been heard."""
        ...

    def notify(self, text: str, *, label: str = "", urgent: bool = False) -> None:
        """Tell the person on this line, or in the room when the line is gone, as soon as the floor is free."""
        ...


class Tool(Protocol):
    """One thing that an agent can do. Group `appliance.tools`; configured by name in `agents.NAME.tools`."""

    declarations: Sequence[ToolDeclaration]
    """The functions of this tool, as a model sees them."""

    def run(
        self, function: str, arguments: Mapping[str, Any], context: ToolContext
    ) -> Awaitable[Mapping[str, Any]]:
        """Do it and return what the model is told; raise an ApplianceError with a sentence for the person otherwise."""
        ...

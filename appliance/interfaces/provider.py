"""Contract of a provider: what a connection is set up with, what it is told, and what it tells."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

from appliance.frames import Frame
from appliance.interfaces.audio import LineKind
from appliance.interfaces.tools import Delivery, ToolDeclaration
from appliance.records import record


@record(frozen=True, slots=True)
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
    paced: bool = False
    """It makes audio faster than real time from a local engine, and may be held back by not reading its events."""
    local: bool = False
    """It needs no network."""


@record(frozen=True, slots=True)
class HistoryItem:
    """One thing said: `role` user or assistant; for the assistant, what was heard."""

    role: str
    text: str
    response: str = ""
    """Names what sounds still: CancelResponse may yet say, by this name, how little of it was heard."""


@record(frozen=True, slots=True)
class CalledTool:
    """A tool call in the history. Without `outcome` (JSON text) its one ToolResult comes over the new connection."""

    call_id: str
    tool: str
    arguments: str
    outcome: str | None = None
    turn: int = 0
    """The turn that it was called for, where it is known: what the model says of the result answers it."""


@record(frozen=True, slots=True)
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


@record(frozen=True, slots=True)
class ProviderCommand:
    """Base of what a session tells a provider."""


@record(frozen=True, slots=True)
class SendAudio(ProviderCommand):
    """20 ms of speech of `turn`, at the provider's `input_rate`; pre-roll first."""

    turn: int
    frame: Frame


@record(frozen=True, slots=True)
class CommitTurn(ProviderCommand):
    """The person has finished `turn`: answer it."""

    turn: int


@record(frozen=True, slots=True)
class DiscardTurn(ProviderCommand):
    """What was sent of `turn` was no turn: forget it."""

    turn: int


@record(frozen=True, slots=True)
class SendText(ProviderCommand):
    """The person typed `text` as `turn`: answer it."""

    turn: int
    text: str


@record(frozen=True, slots=True)
class CancelResponse(ProviderCommand):
    """Stop answering. `heard` is what was really heard of the answer, `heard_ms` its length. Harmless when late.

    `response` names a response of this connection, or an item of Setup.history: then `heard` is all that is true of it.
    """

    response: str
    heard: str
    heard_ms: int


@record(frozen=True, slots=True)
class ToolResult(ProviderCommand):
    """The one answer to a ToolCall. `error` is a sentence for the model, or empty."""

    call_id: str
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    delivery: Delivery = Delivery.IMMEDIATE


@record(frozen=True, slots=True)
class ProviderEvent:
    """Base of what a provider tells a session."""


@record(frozen=True, slots=True)
class UserHeard(ProviderEvent):
    """What was understood of `turn`; `text` is cumulative, and empty when final where nothing was understood."""

    turn: int
    text: str
    final: bool


@record(frozen=True, slots=True)
class TurnEnded(ProviderEvent):
    """The provider takes `turn` for finished, and will answer it. Only with Capabilities.server_turns."""

    turn: int


@record(frozen=True, slots=True)
class ResponseStarted(ProviderEvent):
    """An answer begins; `response` names it in all that follows. `turn` is what it answers; 0: it was not asked."""

    response: str
    turn: int


@record(frozen=True, slots=True)
class ResponseText(ProviderEvent):
    """The next piece of the answer's text, and where in its audio it starts (milliseconds from the first sample)."""

    response: str
    text: str
    audio_from_ms: float


@record(frozen=True, slots=True)
class ResponseAudio(ProviderEvent):
    """The next piece of the answer's audio: s16le mono at `rate`, any length."""

    response: str
    pcm: bytes
    rate: int


@record(frozen=True, slots=True)
class ResponseFinished(ProviderEvent):
    """No more of this answer comes. `status` is completed, cancelled, failed or silent (there is nothing to say)."""

    response: str
    turn: int
    status: str = "completed"


@record(frozen=True, slots=True)
class ToolCall(ProviderEvent):
    """Run a tool and send exactly one ToolResult, also when `arguments` (JSON text or object) are malformed."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any] | str
    turn: int


@record(frozen=True, slots=True)
class ToolCallWithdrawn(ProviderEvent):
    """The model wants no result any more. Each call still gets its one ToolResult, which the connection drops."""

    call_ids: Sequence[str]


@record(frozen=True, slots=True)
class ProviderUsage(ProviderEvent):
    """`unit` is tokens or seconds."""

    input: float
    output: float
    unit: str


@record(frozen=True, slots=True)
class RenewalDue(ProviderEvent):
    """The provider ends this connection in `seconds`: it should be renewed before, in a pause."""

    seconds: float


@record(frozen=True, slots=True)
class ResumptionHandle(ProviderEvent):
    """The newest handle for Setup.handle; empty while there is none that knows all that was said."""

    handle: str


@record(frozen=True, slots=True)
class ProviderTrouble(ProviderEvent):
    """Something was wrong with what came or went, and the talk goes on: counted and told. `code` is stable."""

    code: str
    message: str
    hint: str = ""


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

        Raise ProviderUnavailable (RateLimited among them), or what a new dial at once does not mend:
        CredentialsRejected, QuotaExhausted, SetupRejected, DriverMissing.
        """
        ...

    async def close(self) -> None: ...

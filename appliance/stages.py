"""Contracts of the chain's stages: speech to text, language model, text to speech.

A stage is a driver for one service or engine, loaded by entry-point name (groups `appliance.stt`, `appliance.llm`,
`appliance.tts`) and built as `factory(settings)`, where `settings` are the keys that concern it (see `StageSettings`).
It owns its sockets, translates its errors into `appliance.errors`, and decides nothing about turns: when to dial again,
what to send again, which stage comes next when one fails is for `providers/chain` alone. All methods belong to the
loop's thread. A factory raises ConfigurationInvalid for a key that it has not and a value that cannot be; a missing
credential is CredentialsRejected, raised when the stage is first used.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

from appliance.errors import ApplianceError
from appliance.interfaces import ToolDeclaration
from appliance.records import record


class Stage(Protocol):
    """What all stages have. Class attributes are read before anything is built."""

    name: str
    """As in the configuration; its credentials and address come from `[providers.NAME]`, or, where the class has an
    attribute `section`, from the table of that name: services with two stages of one kind share theirs."""
    settings_model: ClassVar[type[BaseModel]]
    """Its keys (extra ones are forbidden); `handset check` validates with it."""
    shared_keys: ClassVar[frozenset[str]]
    """Keys of `settings_model` that are taken from `[providers.NAME]` as they are. The others stand there with the
    kind before them (`llm_model`), because a realtime provider of that name has a `model` of its own."""
    local: ClassVar[bool]
    """It needs no network."""

    async def warm(self) -> None:
        """Import the SDK or load the model off the loop, so that the first turn is not slow. Idempotent."""
        ...

    async def close(self) -> None:
        """Idempotent; at most 2 s."""
        ...


@runtime_checkable
class Installed(Protocol):
    """What a stage may have too that needs something on this device: a program, a library, a model."""

    def lacking(self) -> Sequence[ApplianceError]:
        """What is not there of it, each with its remedy, at once: the disk is looked at, nothing is loaded."""
        ...


# --- speech to text -----------------------------------------------------------------------------------------------


@record(frozen=True, slots=True)
class Hearing:
    """What a transcription begins with. `keywords` are names that will be said: contacts, products."""

    language: str = "en"
    keywords: Sequence[str] = ()
    server_turns: bool = False
    """The service is to say when a turn ends (Ended); else only `commit` ends one."""


@record(frozen=True, slots=True)
class TranscriptEvent:
    """Base of what a transcription tells."""


@record(frozen=True, slots=True)
class Transcript(TranscriptEvent):
    """What was understood of `turn` so far, cumulative. `final`: nothing more comes; empty when nothing was said."""

    turn: int
    text: str
    final: bool


@record(frozen=True, slots=True)
class EagerEnd(TranscriptEvent):
    """`turn` has probably ended, with `text`: an answer may be prepared, and must be dropped at TurnResumed."""

    turn: int
    text: str


@record(frozen=True, slots=True)
class TurnResumed(TranscriptEvent):
    """EagerEnd was wrong: the person goes on."""

    turn: int


@record(frozen=True, slots=True)
class Ended(TranscriptEvent):
    """The service takes `turn` for finished; its final Transcript precedes this. Only with `Hearing.server_turns`."""

    turn: int


@record(frozen=True, slots=True)
class Spent(TranscriptEvent):
    """`seconds` of audio were charged."""

    seconds: float


class Transcription(Protocol):
    """One connection of a speech-to-text service. Iterating yields its events; the end of the iteration is a
    disconnect, and it may raise an ApplianceError that says why. Turns come one after another, never mixed.

    After `commit` exactly one final Transcript of that turn comes, at the latest after the stage's own deadline (then
    with what is known, perhaps nothing), or the connection ends. Sending raises ProviderUnavailable when it is gone,
    and never waits for an answer. An idle connection keeps itself alive; a silent path is a disconnect after 2 s where
    the protocol can tell.
    """

    async def hear(self, turn: int, pcm: bytes) -> None:
        """20 ms of `turn`, or up to 100 ms when it is sent again: s16le mono at the stage's `rate`."""
        ...

    async def commit(self, turn: int) -> None:
        """The person has finished `turn`: its final transcript is wanted at once."""
        ...

    async def discard(self, turn: int) -> None:
        """What was sent of `turn` was none: nothing is told of it any more."""
        ...

    def __aiter__(self) -> AsyncIterator[TranscriptEvent]: ...

    async def close(self) -> None:
        """Idempotent; at most 2 s."""
        ...


class SpeechToText(Stage, Protocol):
    """Group `appliance.stt`."""

    rate: int
    """Of the audio that it takes: 16000, which the chain hears at; a stage whose service wants another resamples."""
    server_turns: bool
    """It can find the end of a turn itself."""

    async def connect(self, hearing: Hearing) -> Transcription:
        """Return a connection that takes audio at once. Raise what `Provider.connect` may raise."""
        ...


# --- language model -----------------------------------------------------------------------------------------------


@record(frozen=True, slots=True)
class Said:
    """`role` is user or assistant; for the assistant, what was heard of it."""

    role: str
    text: str


@record(frozen=True, slots=True)
class ToolUse:
    """A call that the model made, and its outcome (JSON text). `opaque` is what the service wants back with it."""

    call_id: str
    tool: str
    arguments: str
    outcome: str
    opaque: Mapping[str, Any] = field(default_factory=dict)


Remembered = Said | ToolUse


@record(frozen=True, slots=True)
class Prompt:
    """All that one answer is made from. `items` end with what is to be answered; calls and outcomes stand together.

    `user` is stable for one conversation, for a service's cache; it names nobody.
    """

    items: Sequence[Remembered]
    instructions: str = ""
    tools: Sequence[ToolDeclaration] = ()
    user: str = ""


@record(frozen=True, slots=True)
class AnswerPart:
    """Base of what an answer consists of."""


@record(frozen=True, slots=True)
class AnswerText(AnswerPart):
    """The next piece of what is to be said, as it comes: no word may be assumed to be whole."""

    text: str


@record(frozen=True, slots=True)
class AnswerCall(AnswerPart):
    """A tool call, whole. `arguments` is JSON text as the model wrote it, perhaps malformed."""

    call_id: str
    tool: str
    arguments: str
    opaque: Mapping[str, Any] = field(default_factory=dict)


@record(frozen=True, slots=True)
class AnswerUsage(AnswerPart):
    """Tokens, at the end where the service tells them."""

    input: int
    output: int


@record(frozen=True, slots=True)
class AnswerCut(AnswerPart):
    """The service ended the answer early: `reason` is length, filter or other. What came before it stands."""

    reason: str


@record(frozen=True, slots=True)
class AnswerOdd(AnswerPart):
    """Something of the answer could not be used, and is not told: counted, and told as trouble. `code` is stable."""

    code: str
    message: str


class LanguageModel(Stage, Protocol):
    """Group `appliance.llm`."""

    def answer(self, prompt: Prompt) -> AsyncGenerator[AnswerPart, None]:
        """Stream an answer; closing the generator cancels the request at once, also while it connects.

        Raise what `Provider.connect` may raise; a stream that breaks off is ProviderUnavailable. It retries nothing.
        The model's private thoughts are no part of the answer. Unknown events are passed over.
        """
        ...


# --- text to speech -----------------------------------------------------------------------------------------------


@record(frozen=True, slots=True)
class Word:
    """`text` is spoken from `start_ms` of its piece on. The words of a piece, joined by blanks, are its text."""

    text: str
    start_ms: float


@record(frozen=True, slots=True)
class Sound:
    """The next part of a spoken piece: s16le mono at `rate`, whole samples, any length, perhaps none.

    `words` are those whose times became known with it, in order, where the service tells them; they may come before
    or after their audio.
    """

    pcm: bytes
    rate: int
    words: Sequence[Word] = ()


@record(frozen=True, slots=True)
class Piece:
    """What one request speaks: up to some sentences of plain text without markup.

    `rate` is the line's own rate: a service that offers it speaks at it, others at the nearest they have above it, else
    their highest.
    """

    text: str
    voice: str = ""
    language: str = "en"
    rate: int = 24_000


class TextToSpeech(Stage, Protocol):
    """Group `appliance.tts`."""

    parallel: int
    """Pieces that may be asked for at the same time."""
    timed: bool
    """It tells when each word sounds; else what was heard of a piece is reckoned by proportion."""

    def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        """Speak `piece` as fast as the service can; closing the generator cancels it at once, also while it dials.

        Raise what `Provider.connect` may raise, also for a piece that broke off or fell silent for the stage's own
        deadline. It retries nothing. A piece with nothing to say yields nothing. A connection that is kept for the next
        piece is dialled anew when it is found to be gone, and given back when nobody speaks for long.
        """
        ...

"""The room line's ears and mouth in a simulated room: the real path, guard, onset and turn table, without a clock.

A stage plays answers one after the other; somebody may talk over them now and then. It counts what went wrong.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from appliance.audio.capture import Captured
from appliance.audio.duplex import Choice, Duplex
from appliance.config.schema import Conversation, Vad
from appliance.session.onset import OnsetWatch
from appliance.session.turn import (
    TRANSITIONS,
    Command,
    Interrupted,
    Phase,
    PlayedOut,
    SpeechConfirmed,
    SpeechStarted,
    SpeechStopped,
    TurnEvent,
    TurnMachine,
    UtteranceStarted,
)
from tests.rig.acoustics import RATE, Echo, Setting, Signal
from tests.rig.full_duplex import FullDuplex
from tests.rig.spoken import speech

FRAME: Final = 320
FRAME_SECONDS: Final = FRAME / RATE
ANSWER_DBFS: Final = -18.0
"""RMS of answers, about that of the voices of all services."""
PERSON_DBFS: Final = -24.0
"""RMS of a person at the microphone."""
AUDIBLE: Final = 0.1
"""A person has begun at the first sample above this share of their loudest, -20 dB: before it is breath."""
TOO_LATE_SECONDS: Final = 0.4
"""Before the end of an answer: who begins after this neither interrupts it nor is missed."""
PAUSE_SECONDS: Final = 1.0
ECHO_TAIL_SECONDS: Final = 0.2
ANSWERS: Final = (
    "Good morning. The weather today will be mostly cloudy with a few sunny spells in the afternoon.",
    "I have set a timer for ten minutes. I will tell you when it is over.",
    "Fifteen times seventeen is two hundred and fifty five.",
    "The nearest pharmacy is in the main street, right beside the town hall, and it is open until eight.",
    "No, I do not think so. But if you want, I can ask somebody who knows, and call you back.",
    "One two three four five six seven eight nine ten eleven twelve.",
)
INTERRUPTIONS: Final = (
    "alright wait a moment please i have heard enough",
    "stop that now and tell me something else instead",
    "excuse me but this is not what i have asked for",
    "hold on can you say that again more slowly",
    "no no that is wrong i meant the other one",
    "thank you very much that will do for today",
)
VOICES: Final = ("flite:rms", "flite:slt", "espeak-ng:en-us", "espeak-ng:en-gb", "flite:awb", "flite:kal16")


@dataclass
class Tally:
    """Seconds of what happened; `delays` from the person's first sound to silence, for each barge-in."""

    played: float = 0.0
    pauses: list[float] = field(default_factory=list)
    """Our own sound paused an answer for a moment."""
    self_interruptions: list[float] = field(default_factory=list)
    """Our own sound ended an answer, or opened a turn."""
    withheld: int = 0
    delays: list[float] = field(default_factory=list)
    missed: int = 0
    """The person talked over an answer, and it went on."""


@dataclass
class _Person:
    words: Signal
    began: float
    position: int = 0
    silenced: float | None = None


class AcousticStage:
    """`barge_every`: seconds between two interruptions, 0 for none. Deterministic."""

    def __init__(
        self, setting: Setting, choice: Choice | None = None, *, barge_every: float = 0.0, seed: int = 1
    ) -> None:
        vad = Vad()
        self._setting = setting
        self._half = choice is not None and choice.mode is Duplex.HALF
        line = FullDuplex.built(vad, choice.duck_db if choice else 0.0)
        self._playout, self._path, self._far_end = line.playout, line.path, line.far_end
        self._onset = OnsetWatch(vad.start_ms, Conversation().barge_in_confirm_ms)
        self._machine = TurnMachine()
        self._echo = Echo(setting, seed)
        self._barge_every = barge_every
        self._seed = seed
        self._now = 0.0
        self._due = 0.0
        self._answers = 0
        self._answer_at = 0.5
        self._person: _Person | None = None
        self._person_at = barge_every + 2.0
        self._chance = np.random.default_rng(seed)
        self._deaf_until = 0.0
        self.tally = Tally()

    def run(self, seconds: float) -> Tally:
        """So many seconds of the room's time."""
        for _ in range(round(seconds / FRAME_SECONDS)):
            self._step()
            self._now += FRAME_SECONDS
        self.tally.withheld = self._onset.withheld
        return self.tally

    def close(self) -> None:
        self._path.close()

    def _step(self) -> None:
        self._speak()
        self._due += FRAME * (1 + self._setting.drift_ppm * 1e-6)
        while self._due >= FRAME:
            self._due -= FRAME
            block = np.frombuffer(self._playout.pull(FRAME), "<i2")
            self.tally.played += FRAME_SECONDS if block.any() else 0.0
            self._echo.play(block / 32768)
        if not self._playout.active() and self._machine.phase in (Phase.SPEAKING, Phase.PAUSED):
            self._drive(PlayedOut())
            self._let_off()
        heard = self._echo.take(FRAME) + self._talk()
        pcm = (np.clip(heard, -1, 1) * 32767).astype("<i2").tobytes()
        for captured in self._path.process(pcm, self._now, self._far_end.take(FRAME)):
            self._hear(captured)
        self._end_person()

    def _speak(self) -> None:
        phase = self._machine.phase
        if phase is Phase.IDLE and self._now >= self._answer_at and self._person is None:
            text = ANSWERS[(self._answers + self._seed) % len(ANSWERS)]
            voice = VOICES[(self._answers // 2 + self._seed) % len(VOICES)]
            name = str(self._answers)
            self._answers += 1
            self._playout.play(name, _at_level(text, voice, ANSWER_DBFS), RATE)
            self._playout.finish(name)
            self._drive(UtteranceStarted())
        elif phase is not Phase.IDLE:
            self._answer_at = self._now + PAUSE_SECONDS

    def _talk(self) -> Signal:
        if (
            self._barge_every
            and self._person is None
            and self._now >= self._person_at
            and self._machine.phase is Phase.SPEAKING
        ):
            voice = VOICES[self._chance.integers(len(VOICES))]
            text = INTERRUPTIONS[self._chance.integers(len(INTERRUPTIONS))]
            words = np.frombuffer(_at_level(text, voice, PERSON_DBFS), "<i2") / 32768
            audible = int(np.argmax(np.abs(words) > AUDIBLE * np.abs(words).max()))
            self._person = _Person(words, self._now + audible / RATE)
        heard = np.zeros(FRAME)
        if self._person is not None:
            piece = self._person.words[self._person.position : self._person.position + FRAME]
            heard[: len(piece)] = piece
            self._person.position += FRAME
        return heard

    def _hear(self, captured: Captured) -> None:
        if self._half and self._playout.active():
            self._deaf_until = self._now + ECHO_TAIL_SECONDS
        if self._half and self._now < self._deaf_until:
            self._onset.skip(captured.voiced_ms)
            return
        phase = self._machine.phase
        event = self._onset.hear(captured, doubtful=phase.doubtful, sounding=phase is Phase.SPEAKING)
        if event is not None and type(event) in TRANSITIONS[phase]:
            self._drive(event)
            self._judge(phase, event)

    def _judge(self, before: Phase, event: TurnEvent) -> None:
        person = self._person
        if isinstance(event, SpeechStarted) and before is Phase.SPEAKING:
            if person is None:
                self.tally.pauses.append(self._now)
            else:
                # Silence comes with the next block that the speaker asks for.
                person.silenced = self._now + FRAME_SECONDS
        elif isinstance(event, SpeechStarted | SpeechConfirmed) and person is None:
            self.tally.self_interruptions.append(self._now)
        elif isinstance(event, SpeechConfirmed) and person is not None and person.silenced is not None:
            self.tally.delays.append(person.silenced - person.began)
            person.began = -1.0

    def _drive(self, event: TurnEvent) -> None:
        for command in self._machine.handle(event):
            if command is Command.PAUSE:
                self._playout.pause()
            elif command is Command.RESUME:
                self._playout.resume()
            elif command is Command.FLUSH:
                self._playout.flush()
        if self._machine.phase is Phase.THINKING:
            # Nobody answers here.
            self._machine.handle(PlayedOut())

    def _let_off(self) -> None:
        """The answer has ended by itself: whoever had only just begun did not interrupt it."""
        person = self._person
        if person is not None and person.silenced is None and self._now - person.began < TOO_LATE_SECONDS:
            person.began = -1.0

    def _end_person(self) -> None:
        """A second after their last word the person has gone; whoever was not noticed is counted."""
        person = self._person
        if person is None or person.position < len(person.words) + RATE:
            return
        self._person = None
        self._person_at = self._now + self._barge_every * self._chance.uniform(0.8, 1.4)
        if person.began >= 0:
            self.tally.missed += 1
        if self._machine.phase is Phase.LISTENING:
            self._onset.cut(doubtful=False)
            self._drive(SpeechStopped())
        if self._machine.phase is not Phase.IDLE and self._machine.allows(Interrupted):
            self._onset.cut(doubtful=False)
            self._drive(Interrupted())


def _at_level(text: str, voice: str, dbfs: float) -> bytes:
    samples = speech(text, RATE, voice=voice).astype(np.float64)
    samples *= 10 ** (dbfs / 20) * 32768 / np.sqrt(np.mean(samples**2))
    return np.clip(samples, -32768, 32767).astype("<i2").tobytes()

"""Asks a caller for the PIN, on a line that has no session yet: nothing of it reaches a provider, a file or the log."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from appliance.audio import tones
from appliance.audio.capture import Captured
from appliance.audio.vad import Edge
from appliance.bus import EventBus
from appliance.call.pin import PinEntry, Verdict
from appliance.config.schema import Agent
from appliance.config.secrets import reveal
from appliance.errors import ApplianceError
from appliance.events import Warned
from appliance.interfaces import Voice
from appliance.session.line import Line

ENTRY_SECONDS: Final = 15.0
LONGEST_ENTRY_SECONDS: Final = 60.0
"""However many keys are pressed: a line is not kept by one who never ends an entry."""
VOICE_SECONDS: Final = 10.0
PRE_ROLL_FRAMES: Final = 15
LONGEST_FRAMES: Final = 500
_LOOK_SECONDS: Final = 0.05
DigitEars = Callable[[bytes], str]
"""Digits in 16 kHz samples; it may block."""
_WORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "en": (
        "Please say or key in your PIN.",
        "That was not right. Please try again.",
        "That was not right. Goodbye.",
    ),
    "de": (
        "Bitte geben Sie Ihre PIN ein.",
        "Das war falsch. Bitte noch einmal.",
        "Das war falsch. Auf Wiederhören.",
    ),
}
logger = logging.getLogger(__name__)


def entry_for(agent: Agent, bus: EventBus) -> PinEntry | None:
    """None where the agent asks for no PIN. One that cannot be read lets nobody in."""
    if not agent.pin.get_secret_value():
        return None
    try:
        return PinEntry(reveal(agent.pin))
    except ApplianceError as error:
        bus.publish(Warned(code="pin_unreadable", message=error.message, hint=error.hint))
        return PinEntry("")


class PinGate:
    """`press` with each digit while `run` asks; belongs to the loop's thread."""

    def __init__(
        self, line: Line, entry: PinEntry, voice: Voice | None, language: str, ears: DigitEars | None = None
    ) -> None:
        self._line = line
        self._entry = entry
        self._voice = voice
        self._ask, self._again, self._goodbye = _WORDS.get(language.partition("-")[0].lower(), _WORDS["en"])
        self._verdicts: asyncio.Queue[Verdict] = asyncio.Queue()
        self._pressed = asyncio.Event()
        self._ears = ears if language.partition("-")[0].lower() == "en" else None
        self._before: deque[bytes] = deque(maxlen=PRE_ROLL_FRAMES)
        self._said: list[bytes] | None = None
        self._hearing: set[asyncio.Task[None]] = set()

    def press(self, digit: str) -> None:
        self._pressed.set()
        verdict = self._entry.press(digit)
        if verdict is not None:
            self._verdicts.put_nowait(verdict)

    def hear(self, captured: Captured) -> None:
        """The caller may say the digits, too; what was said is forgotten as soon as it was understood."""
        if self._ears is None:
            return
        if captured.edge is Edge.STARTED:
            self._said = list(self._before)
        self._before.append(captured.frame.pcm)
        if self._said is not None:
            self._said.append(captured.frame.pcm)
            if captured.edge is Edge.STOPPED or len(self._said) >= LONGEST_FRAMES:
                said, self._said = b"".join(self._said), None
                task = asyncio.get_running_loop().create_task(self._understand(self._ears, said))
                self._hearing.add(task)
                task.add_done_callback(self._hearing.discard)

    async def _understand(self, ears: DigitEars, said: bytes) -> None:
        try:
            digits = await asyncio.to_thread(ears, said)
        except ApplianceError as fault:
            logger.info("spoken digits are not understood here: %s", fault.code)
            self._ears = None
            return
        for digit in digits:
            self.press(digit)

    async def run(self, up: Callable[[], bool]) -> bool:
        """Whether the right PIN came; at most three tries, and not beyond the call (`up`)."""
        await self._say(self._ask, up)
        while up():
            match await self._verdict(up):
                case Verdict.RIGHT:
                    return True
                case Verdict.WRONG:
                    await self._say(self._again, up)
                case Verdict.OVER:
                    self._pressed.clear()
                    await self._say(self._goodbye, up)
                    return False
        return False

    async def _verdict(self, up: Callable[[], bool]) -> Verdict:
        """The next entry's; one that is not ended in time is judged as it is. Each digit gives more time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ENTRY_SECONDS
        last = loop.time() + LONGEST_ENTRY_SECONDS
        while up() and loop.time() < deadline:
            if self._pressed.is_set():
                self._pressed.clear()
                deadline = min(loop.time() + ENTRY_SECONDS, last)
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    return await self._verdicts.get()
            except TimeoutError:
                continue
        return self._entry.late()

    async def _say(self, text: str, up: Callable[[], bool]) -> None:
        """To its end, or until a key is pressed; without a voice there is a signal."""
        playout = self._line.lend(self.hear).playout
        if self._voice is None:
            playout.play("ask", tones.beep(playout.rate), playout.rate)
        else:
            try:
                async with asyncio.timeout(VOICE_SECONDS):
                    async for piece in self._voice.speak(text):
                        playout.play("ask", piece.pcm, piece.rate)
            except (TimeoutError, ApplianceError) as fault:
                logger.warning("the PIN could not be asked for aloud: %s", type(fault).__name__)
        playout.finish("ask")
        # The driver's thread, which takes the sound, may wake nobody.
        while up() and playout.active() and not self._pressed.is_set():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        playout.flush()

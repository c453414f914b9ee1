"""The device's own voice: espeak-ng as a subprocess, one sentence at a time."""

import contextlib
import re
import shutil
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from appliance import engines
from appliance.errors import DeviceUnavailable, DriverMissing
from appliance.interfaces import Spoken
from appliance.sentences import sentences

RATE: Final = 22_050
WORDS_A_MINUTE: Final = 160
PITCH: Final = 45
READ_SECONDS: Final = 5.0
"""espeak-ng needs some hundredths of a second a sentence; one that is silent for so long hangs."""
_HEADER_BYTES: Final = 44
_PIECE_BYTES: Final = 4_410
"""0.1 s: small enough to start at once and to stop at once."""
_VOICE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9-]{1,16})?(\+[A-Za-z0-9_]{1,16})?")


def espeak_voice(name: str) -> str:
    """`name`, which is a voice of espeak-ng by its form; empty: the default. Else raise ValueError."""
    if name and not _VOICE.fullmatch(name):
        raise ValueError("it is no voice of espeak-ng; see: espeak-ng --voices")
    return name


class VoiceSettings(BaseModel):
    """How the device speaks: an espeak-ng voice, words a minute, pitch 0-99."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    voice: str = "en-us"
    speed: int = Field(default=WORDS_A_MINUTE, ge=80, le=400)
    pitch: int = Field(default=PITCH, ge=0, le=99)


class EspeakVoice:
    """Implements interfaces.Voice. Built as `factory(settings)` with the keys of VoiceSettings, all optional."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        given = {key: value for key, value in (settings or {}).items() if value != ""}
        self._settings = VoiceSettings.model_validate(given)
        self._binary = shutil.which("espeak-ng")

    async def speak(self, text: str) -> AsyncGenerator[Spoken, None]:
        """Speak sentence by sentence; closing the iterator kills the engine. Raise DriverMissing without espeak-ng."""
        for sentence in sentences(text):
            said = sentence
            async with contextlib.aclosing(self._sentence(sentence)) as pieces:
                async for pcm in pieces:
                    yield Spoken(said, pcm, RATE)
                    said = ""

    def _command(self) -> list[str]:
        if self._binary is None:
            raise DriverMissing(
                "the voice needs espeak-ng, which is not installed", hint="apt-get install espeak-ng"
            )
        voice = self._settings.voice if _VOICE.fullmatch(self._settings.voice) else "en-us"
        speed, pitch = str(self._settings.speed), str(self._settings.pitch)
        return [self._binary, "-v", voice, "-s", speed, "-p", pitch, "-b", "1", "--stdin", "--stdout"]

    async def _sentence(self, sentence: str) -> AsyncGenerator[bytes, None]:
        process = await engines.start(self._command())
        try:
            engines.tell(process, sentence)
            header = await engines.read(process, _HEADER_BYTES, READ_SECONDS)
            if len(header) < _HEADER_BYTES:
                raise DeviceUnavailable(
                    "espeak-ng gave no sound", hint="is the voice installed? run: espeak-ng --voices"
                )
            async for pcm in engines.samples(process, _PIECE_BYTES, READ_SECONDS):
                yield pcm
        except TimeoutError:
            raise DeviceUnavailable("espeak-ng hangs", hint="run: espeak-ng --version") from None
        finally:
            await engines.end(process)

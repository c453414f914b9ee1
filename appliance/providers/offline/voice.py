"""The device's own voice: espeak-ng as a subprocess, one sentence at a time."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from appliance.errors import DeviceUnavailable, DriverMissing
from appliance.interfaces import Spoken
from appliance.sentences import sentences

RATE: Final = 22_050
READ_SECONDS: Final = 5.0
"""espeak-ng needs some hundredths of a second a sentence; one that is silent for so long hangs."""
_HEADER_BYTES: Final = 44
_PIECE_BYTES: Final = 4_410
"""0.1 s: small enough to start at once and to stop at once."""
_VOICE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9-]{1,16})?(\+[A-Za-z0-9_]{1,16})?")
_PHONEMES: Final = re.compile(r"\[(?=\[)")
"""What stands between [[ and ]] the engine takes for phonemes, unless a blank keeps the brackets apart."""


class VoiceSettings(BaseModel):
    """How the device speaks: an espeak-ng voice, words a minute, pitch 0-99."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    voice: str = "en-us"
    speed: int = Field(default=160, ge=80, le=400)
    pitch: int = Field(default=45, ge=0, le=99)


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
            async with contextlib.aclosing(self._sentence(_PHONEMES.sub("[ ", sentence))) as pieces:
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
        # The text goes by standard input: as an argument it would show in the process list, and could be an option.
        return [self._binary, "-v", voice, "-s", speed, "-p", pitch, "-b", "1", "--stdin", "--stdout"]

    async def _sentence(self, sentence: str) -> AsyncGenerator[bytes, None]:
        pipe = asyncio.subprocess.PIPE
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *self._command(), stdin=pipe, stdout=pipe, stderr=quiet
        )
        try:
            async for pcm in self._samples(process, sentence.encode()):
                yield pcm
        except TimeoutError:
            raise DeviceUnavailable("espeak-ng hangs", hint="run: espeak-ng --version") from None
        finally:
            await _end(process)

    async def _samples(self, process: asyncio.subprocess.Process, text: bytes) -> AsyncGenerator[bytes, None]:
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise DeviceUnavailable("espeak-ng has no pipes")
        stdin.write(text)
        stdin.close()
        header = await _read(stdout, _HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            raise DeviceUnavailable(
                "espeak-ng gave no sound", hint="is the voice installed? run: espeak-ng --voices"
            )
        while pcm := await _read(stdout, _PIECE_BYTES):
            yield pcm[: len(pcm) & ~1]


async def _read(stream: asyncio.StreamReader, size: int) -> bytes:
    try:
        # Not wait_for: before Python 3.12 it forgets a cancellation that meets a result.
        async with asyncio.timeout(READ_SECONDS):
            return await stream.readexactly(size)
    except asyncio.IncompleteReadError as rest:
        return rest.partial


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        # Not process.kill(): it would reap a child that has just ended, and asyncio's watcher complain of the loss.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), 2.0)

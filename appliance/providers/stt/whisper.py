"""Whisper, with a model that the user has: faster-whisper, where it is installed.

Of a whole turn at its end. The model "tiny" takes half a second of an x86 core for a turn of up to half a minute, and
240 MB; a small device takes several times as long. Nothing is ever fetched: `model_directory` must hold the whole
model, in CTranslate2's form.
"""

import asyncio
import contextlib
import importlib.util
import re
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from appliance.config.services import read
from appliance.errors import ApplianceError, DriverMissing, ProviderUnavailable, SetupRejected
from appliance.preparation import Preparation
from appliance.providers.stt.one_shot import RATE, OneShotTranscription, Understood
from appliance.stages import Hearing, Transcription

NEEDED: Final = ("config.json", "model.bin", "tokenizer.json")
"""Without one of these the library would look for it in the network."""
TURNS_AT_ONCE: Final = 4
"""Turns that wait for the one worker, of all conversations."""
KEYWORDS: Final = 50
TEXT_BOUND: Final = 20_000
FULL_SCALE: Final = 32_768.0
_NO_LIBRARY: Final = "whisper needs the library faster-whisper, which is not installed"
_LIBRARY_HINT: Final = "in the folder of the appliance: .venv/bin/pip install -e '.[whisper]'"
_NO_WORDS: Final = re.compile(r"^\W*[\[(*♪].*[\])*♪]\W*$")
"""What it writes for sounds that are no speech: "[BLANK_AUDIO]", "(music)"."""


class Settings(BaseModel):
    """Of `[providers.whisper]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_directory: str = ""
    """With model.bin, config.json and tokenizer.json."""
    language: str = ""
    """Instead of the conversation's; "auto": the model finds it out."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    compute_type: Literal["default", "int8", "int8_float16", "int8_float32", "float16", "float32"] = "int8"
    threads: Annotated[int, Field(ge=1, le=64)] = 2
    beam_size: Annotated[int, Field(ge=1, le=10)] = 1
    """More: a little fewer errors for much more time."""
    deadline: Annotated[float, Field(ge=1, le=60)] = 7.0
    """Seconds from the end of a turn to its transcript."""


class WhisperTranscription:
    """Implements stages.SpeechToText. Group `appliance.stt`."""

    name = "whisper"
    settings_model: ClassVar[type[BaseModel]] = Settings
    shared_keys: ClassVar[frozenset[str]] = frozenset(Settings.model_fields)
    local: ClassVar[bool] = True

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings = read(Settings, "providers.whisper", settings)
        self._engine = Preparation(lambda: _Engine(self._settings), "whisper import")
        self.rate = RATE
        self.server_turns = False

    async def warm(self) -> None:
        """Load the model in a thread. Raise DriverMissing without the library, SetupRejected without a model."""
        await self._engine.ready()

    async def connect(self, hearing: Hearing) -> Transcription:
        engine = await self._engine.ready()
        options = request_options(self._settings, hearing)

        def ask(pcm: bytes) -> AsyncGenerator[Understood, None]:
            return engine.transcribe(pcm, options)

        return OneShotTranscription(self.name, ask, self._settings.deadline)

    def lacking(self) -> list[ApplianceError]:
        """Implements stages.Installed."""
        fault = _no_model(self._settings.model_directory)
        faults: list[ApplianceError] = [] if fault is None else [fault]
        if importlib.util.find_spec("faster_whisper") is None:
            faults.append(DriverMissing(_NO_LIBRARY, hint=_LIBRARY_HINT))
        return faults

    async def close(self) -> None:
        engine = await self._engine.taken_back()
        if engine is not None:
            engine.close()


def request_options(settings: Settings, hearing: Hearing) -> dict[str, Any]:
    """What the library is asked for. Pure."""
    language = (settings.language or hearing.language).partition("-")[0].lower()
    return {
        "language": None if language in {"", "auto"} else language,
        "beam_size": settings.beam_size,
        "hotwords": ", ".join(hearing.keywords[:KEYWORDS]) or None,
        # One try: to try again with chance, as the library would, takes longer than anybody waits.
        "temperature": 0.0,
        "condition_on_previous_text": False,
        "without_timestamps": True,
    }


def _no_model(directory: str) -> SetupRejected | None:
    """What is wrong with `model_directory`."""
    missing = [name for name in NEEDED if not (Path(directory).expanduser() / name).is_file()]
    if directory and not missing:
        return None
    what = f"{directory} does not hold {' and '.join(missing)}" if directory else "no model_directory is set"
    return SetupRejected(
        f"whisper has no model: {what}",
        hint="set model_directory in [providers.whisper] to that of a model for faster-whisper",
    )


class _Engine:
    """The model, and the one thread in which it works."""

    def __init__(self, settings: Settings) -> None:
        """It blocks, for seconds on a small device."""
        if (fault := _no_model(settings.model_directory)) is not None:
            raise fault
        directory = Path(settings.model_directory).expanduser()
        try:
            import faster_whisper
        except ImportError as fault:
            raise DriverMissing(_NO_LIBRARY, hint=_LIBRARY_HINT) from fault
        try:
            self._model: Any = faster_whisper.WhisperModel(
                str(directory.resolve()),
                device=settings.device,
                compute_type=settings.compute_type,
                cpu_threads=settings.threads,
                num_workers=1,
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as fault:
            raise SetupRejected(
                f"whisper: the model cannot be loaded ({type(fault).__name__})",
                hint="look at model_directory, device and compute_type in [providers.whisper]",
            ) from fault
        self._worker = ThreadPoolExecutor(1, "whisper")
        self._waiting = 0

    async def transcribe(self, pcm: bytes, options: Mapping[str, Any]) -> AsyncGenerator[Understood, None]:
        """Once, when all is understood. Raise ProviderUnavailable when too many wait, or it fails."""
        if self._waiting >= TURNS_AT_ONCE:
            raise ProviderUnavailable("whisper cannot keep up", hint="a smaller model is faster")
        given_up = threading.Event()
        self._waiting += 1
        job = self._worker.submit(self._work, pcm, options, given_up.is_set)
        loop = asyncio.get_running_loop()
        job.add_done_callback(lambda _: _from_thread(loop, self._worked))
        try:
            yield Understood(await asyncio.wrap_future(job))
        except (RuntimeError, ValueError) as fault:
            raise ProviderUnavailable(f"whisper failed: {type(fault).__name__}") from fault
        finally:
            given_up.set()

    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _worked(self) -> None:
        self._waiting -= 1

    def _work(self, pcm: bytes, options: Mapping[str, Any], given_up: Callable[[], bool]) -> str:
        """In the thread. The library does its work while its segments are read."""
        if given_up():
            return ""
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(FULL_SCALE)
        segments, _ = self._model.transcribe(samples, **options)
        told: list[str] = []
        for segment in segments:
            text = segment.text.strip()
            if text and not _NO_WORDS.match(text):
                told.append(text)
            if given_up():
                break
        return " ".join(told)[:TEXT_BOUND]


def _from_thread(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    """A loop that is closed needs to know nothing any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(act)

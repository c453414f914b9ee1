"""Piper, a neural voice on the device: a program of its own, which the user installs, with a voice that the user names.

Loading a voice takes a small device seconds. So the next process is begun as soon as one has said its piece, and waits
with its voice loaded for the next; when nobody speaks for long, it is ended. Piper is under the GPL: it is run, never
imported.
"""

import asyncio
import importlib.util
import json
import shutil
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from appliance import engines
from appliance.config.services import read
from appliance.errors import ApplianceError, DriverMissing, ProviderUnavailable, SetupRejected
from appliance.preparation import Preparation
from appliance.providers.tts.places import Places
from appliance.providers.tts.plain import plain, says_nothing
from appliance.providers.tts.terms import Terms
from appliance.stages import Piece, Sound

NAME: Final = "piper"
TERMS: Final = Terms(patience=11.0, keep=600.0)
PART_MS: Final = 100
LONGEST_TEXT: Final = 20_000
"""Characters of a piece; what is beyond is not spoken."""
_MODEL_HINT: Final = (
    "set model in [providers.piper] to the .onnx file of a voice; its .onnx.json lies beside it"
)


class PiperSettings(BaseModel):
    """`[providers.piper]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = ""
    """Path of the voice: a .onnx file, with its .onnx.json beside it."""
    command: str = NAME
    """The program: a name on PATH, or a path. Without it, a Python module of that name is taken."""
    speaker: int | None = Field(default=None, ge=0)
    """Of a voice that has several."""
    speed: float = Field(default=1.0, ge=0.5, le=2.0)


class PiperTts:
    """Implements stages.TextToSpeech. Group `appliance.tts`. It has one voice, whatever a piece wishes."""

    name = NAME
    settings_model: ClassVar[type[BaseModel]] = PiperSettings
    shared_keys: ClassVar[frozenset[str]] = frozenset(PiperSettings.model_fields)
    local: ClassVar[bool] = True
    parallel = 1
    timed = False

    def __init__(self, settings: Mapping[str, Any], *, terms: Terms = TERMS) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings: PiperSettings = read(PiperSettings, "providers.piper", settings)
        self._terms = terms
        self._ready = Preparation(self._find, "piper")
        self._places = Places(NAME, self.parallel, terms.patience * 2)
        self._spare: asyncio.Task[Process] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._endings: set[asyncio.Task[None]] = set()

    async def warm(self) -> None:
        """Have a process load its voice."""
        self._begin_spare(await self._ready.ready())

    async def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        if says_nothing(piece.text):
            return
        engine = await self._ready.ready()
        give_back = await self._places.take()
        try:
            async with aclosing(self._spoken(engine, _line(piece.text))) as sounds:
                async for sound in sounds:
                    yield sound
            self._begin_spare(engine)
        finally:
            give_back()

    def lacking(self) -> list[ApplianceError]:
        """Implements stages.Installed."""
        faults: list[ApplianceError] = []
        for look in (lambda: _program(self._settings.command), lambda: _model(self._settings.model)):
            try:
                look()
            except (DriverMissing, SetupRejected) as fault:
                faults.append(fault)
        return faults

    async def close(self) -> None:
        self._end_spare()
        if self._endings:
            await asyncio.wait(self._endings, timeout=2.0)
        await self._ready.taken_back()

    # --- inside ---

    async def _spoken(self, engine: "_Engine", line: str) -> AsyncGenerator[Sound, None]:
        process = await self._process(engine)
        came = False
        try:
            engines.tell(process, line)
            async for pcm in engines.samples(process, engine.part_bytes, self._terms.patience):
                came = came or bool(pcm)
                yield Sound(pcm, engine.rate)
            # What the process says ends with it: whether it broke off, only its exit tells.
            async with asyncio.timeout(self._terms.patience):
                status = await process.wait()
        except TimeoutError:
            raise ProviderUnavailable(f"{NAME} fell silent") from None
        finally:
            await engines.end(process)
        if status or not came:
            raise ProviderUnavailable(
                f"{NAME} ended with status {status}", hint=f"run it by hand: {engine.hint}"
            )

    async def _process(self, engine: "_Engine") -> Process:
        """The one that has loaded its voice already, or a new one."""
        spare, self._spare = self._spare, None
        self._rest(False)
        if spare is not None:
            try:
                process = await asyncio.shield(spare)
            except OSError:
                process = None
            except asyncio.CancelledError:
                self._later(spare)
                raise
            if process is not None and process.returncode is None:
                return process
        try:
            return await engines.start(engine.command)
        except OSError as fault:
            raise ProviderUnavailable(f"{NAME} cannot be run: {fault.strerror}") from fault

    def _begin_spare(self, engine: "_Engine") -> None:
        if self._spare is None:
            loop = asyncio.get_running_loop()
            self._spare = loop.create_task(engines.start(engine.command), name="piper loads")
        self._rest(True)

    def _rest(self, on: bool) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(self._terms.keep, self._end_spare) if on else None

    def _end_spare(self) -> None:
        spare, self._spare = self._spare, None
        if self._idle is not None:
            self._idle.cancel()
        if spare is not None:
            self._later(spare)

    def _later(self, spare: asyncio.Task[Process]) -> None:
        ending = asyncio.get_running_loop().create_task(_end(spare), name="piper end")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    def _find(self) -> "_Engine":
        """In a thread: where the program is, and what its voice is like."""
        program = _program(self._settings.command)
        model, rate = _model(self._settings.model)
        speaker = [] if self._settings.speaker is None else ["--speaker", str(self._settings.speaker)]
        length = [] if self._settings.speed == 1.0 else ["--length_scale", f"{1 / self._settings.speed:.3f}"]
        command = [*program, "--model", str(model), "--output_raw", *speaker, *length]
        return _Engine(tuple(command), rate)


@dataclass(frozen=True, slots=True)
class _Engine:
    command: tuple[str, ...]
    rate: int

    @property
    def part_bytes(self) -> int:
        return self.rate * PART_MS // 1000 * 2

    @property
    def hint(self) -> str:
        return f"echo hello | {' '.join(self.command)} > /dev/null"


def _program(command: str) -> list[str]:
    found = shutil.which(command)
    if found is not None:
        return [found]
    if command == NAME and importlib.util.find_spec(NAME) is not None:
        return [sys.executable, "-m", NAME]
    raise DriverMissing(
        f"{NAME} is not installed: there is no {command}",
        hint="install piper-tts in a place of its own (it is GPL), as with pipx, and set command in [providers.piper]",
    )


def _model(name: str) -> tuple[Path, int]:
    """The voice's file, and its rate."""
    model = Path(name).expanduser()
    if not name or not model.is_file():
        what = f"there is no {model}" if name else "no model is set"
        raise SetupRejected(f"{NAME} has no voice: {what}", hint=_MODEL_HINT)
    return model, _rate(Path(f"{model}.json"))


def _rate(description: Path) -> int:
    try:
        rate = json.loads(description.read_text(encoding="utf-8"))["audio"]["sample_rate"]
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise SetupRejected(
            f"{NAME}: {description} does not say the voice's rate", hint=_MODEL_HINT
        ) from fault
    if not isinstance(rate, int) or not 8_000 <= rate <= 48_000:
        raise SetupRejected(f"{NAME}: {description} has a senseless rate", hint=_MODEL_HINT)
    return rate


def _line(text: str) -> str:
    """Each line would be spoken as a text of its own."""
    return " ".join(plain(text)[:LONGEST_TEXT].split()) + "\n"


async def _end(spare: asyncio.Task[Process]) -> None:
    try:
        process = await spare
    except OSError:
        return  # it did not even begin
    await engines.end(process)
